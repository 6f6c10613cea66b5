"""Who may ask how much, and for how long somebody is kept waiting."""

from datetime import timedelta

from pydantic import (
    Field,
    PositiveInt,
)

from app.settings.group import Duration, Group


class WaitingSettings(Group):
    """Callers that keep a connection open until something happens; all numbers are per API process."""

    waiters: PositiveInt = Field(1_000, description="waiting for a job's end at once; more are answered without a wait")
    watchers: PositiveInt = Field(
        100, description="watching a job's progress at once (event streams, waits for a change); more are answered 503"
    )
    look_every: Duration = Field(timedelta(milliseconds=500), description="how often a watcher looks for progress")
    check_every: Duration = Field(
        timedelta(seconds=2), description="how often Postgres is asked which of the awaited jobs ended without notice"
    )
    heartbeat: Duration = Field(timedelta(seconds=15), description="silence after which a stream sends a comment")


class AccessSettings(Group):
    """Who may do what. Keys, tenants and their own limits are in the database; `python -m app` manages them."""

    anonymous: bool = Field(
        False, description="whether whoever sends no key is the default tenant with all scopes; for a laptop"
    )
    requests_per_minute: PositiveInt = Field(3_000, description="of one key, where neither it nor its tenant says so")
    concurrent_jobs: PositiveInt = Field(1_000, description="of one tenant that have not ended, where it says nothing")
    key_cache: Duration = Field(
        timedelta(seconds=5),
        le=timedelta(seconds=10),
        description="how long a process remembers a key, and so how long a revoked one may still open; 10 s at most",
    )


class ApiSettings(Group):
    """What browsers are told."""

    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may call the API, such as https://console.example; none by default"
    )
    https: bool = Field(
        False, description="whether callers reach the API by https only: browsers are then told to insist on it (HSTS)"
    )
