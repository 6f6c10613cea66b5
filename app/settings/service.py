"""The HTTP service: access, long polling, browsers; and the logs, metrics and traces of all processes."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, PositiveInt, SecretStr

from app.settings.group import Duration, Group, HttpUrl


class LongPollingSettings(Group):
    """Requests that are kept open until something happens; all numbers are per API process."""

    waiters: PositiveInt = Field(1_500, description="requests that wait for a job's end; more do not wait")
    waiters_per_tenant: PositiveInt = Field(1_000, description="of these, those of one tenant")
    watchers: PositiveInt = Field(
        150, description="requests that watch a job's progress (event streams, waits for a change); more are a 503"
    )
    watchers_per_tenant: PositiveInt = Field(100, description="of these, those of one tenant")
    stream_lifetime: Duration = Field(
        timedelta(minutes=10), description="after which an event stream ends; clients reconnect and miss nothing"
    )
    poll_every: Duration = Field(timedelta(milliseconds=500), description="how often a watcher reads its job")
    check_every: Duration = Field(
        timedelta(seconds=2), description="how often Postgres is queried for awaited jobs whose end was not published"
    )
    heartbeat: Duration = Field(timedelta(seconds=15), description="silence after which a stream sends a comment")


class AccessSettings(Group):
    """Authentication and limits. `python -m app` manages the keys, the tenants and their own limits."""

    anonymous: bool = Field(
        False, description="whether a request without a key is the default tenant's, with all scopes; for development"
    )
    anonymous_hosts: tuple[str, ...] = Field(
        ("localhost", "127.0.0.1", "::1"),
        description="the names by which the API is reached without a key; others may be a foreign web page's",
    )
    requests_per_minute: PositiveInt = Field(
        3_000, description="of one key, where neither it nor its tenant has a value"
    )
    concurrent_jobs: PositiveInt = Field(1_000, description="open jobs of one tenant without a value of its own")
    jobs_per_day: PositiveInt = Field(
        200_000, description="jobs that one tenant may submit a day (UTC), cached answers included"
    )
    bytes_per_day: PositiveInt = Field(
        100_000_000_000,
        description="bytes that one tenant may have this service read a day: request bodies, and files at addresses",
    )
    key_cache: Duration = Field(
        timedelta(seconds=5),
        le=timedelta(seconds=10),
        description="how long a process caches a key, so how long a revoked one may still be accepted; 10 s at most",
    )


class ApiSettings(Group):
    """What browsers may do, and what a connection may cost."""

    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may call the API, such as https://console.example; none by default"
    )
    https: bool = Field(
        False, description="whether callers reach the API by https only; browsers then enforce it (HSTS)"
    )
    max_header_bytes: PositiveInt = Field(32_768, description="of a request's path and headers; more are a 431")
    header_timeout: Duration = Field(
        timedelta(seconds=10), description="within which the headers of a request must have arrived"
    )
    max_connections: PositiveInt = Field(
        2_000, description="per process; beyond that the oldest without a request is closed"
    )
    send_timeout: Duration = Field(
        timedelta(minutes=1), description="after which a caller that does not read its response is disconnected"
    )


class LogSettings(Group):
    """Structured logs to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    reads: bool = Field(False, description="also log successful GET requests: polling makes many")


class MetricsSettings(Group):
    """Metrics for Prometheus: the API serves them at `/metrics`, each other process on a port of its own."""

    port: int = Field(0, ge=0, le=65_535, description="of a worker process's metrics; 0: none")
    host: str = Field("127.0.0.1", description="the address that a worker process binds for them")
    token: SecretStr | None = Field(
        None,
        min_length=16,
        description="the bearer token of the API's `/metrics`",
    )
    open: bool = Field(False, description="whether the API's `/metrics` needs no token; without either it is closed")


class TracingSettings(Group):
    """Traces for an OpenTelemetry collector, off unless an endpoint is set; the standard OTEL_ variables work, too."""

    endpoint: HttpUrl | None = Field(
        None, description="the collector's URL for OTLP over HTTP, e.g. http://collector:4318/v1/traces"
    )
