"""What is told of the service: logs, metrics, traces."""

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
)

from app.settings.group import Group
from app.settings.jobs import _http_url


class LogSettings(Group):
    """Structured logs to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    reads: bool = Field(False, description="also log answered GET requests that succeeded: polling makes many")


class MetricsSettings(Group):
    """What Prometheus fetches: the API has it at `/metrics`, each other process on a port of its own."""

    port: int = Field(0, ge=0, le=65_535, description="where a worker process answers; 0: nowhere")
    host: str = Field("127.0.0.1", description="the address that a worker process binds for it")
    token: SecretStr | None = Field(
        None,
        min_length=16,
        description="what the API's `/metrics` asks for as `Authorization: Bearer`; none: anybody may read it",
    )


class TracingSettings(Group):
    """Traces for an OpenTelemetry collector, off unless an endpoint is set; the standard OTEL_ variables work, too."""

    endpoint: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None, description="the collector's address for OTLP over HTTP, e.g. http://collector:4318/v1/traces"
    )
