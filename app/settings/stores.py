"""Where things lie, and for how long: Postgres, Redis, blobs, retention, the cache."""

from datetime import timedelta

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
)

from app.settings.group import Duration, Group


class DatabaseSettings(Group):
    """Postgres: the truth."""

    url: SecretStr = Field(description="postgresql://user:password@host:port/name")
    pool_size: PositiveInt = Field(8, description="connections kept per process")
    max_overflow: NonNegativeInt = Field(8, description="connections above the pool, under load")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="per connection attempt")


class RedisSettings(Group):
    """Redis or Valkey: the broker and the snapshots. May be lost with everything in it."""

    url: SecretStr = Field(description="redis://:password@host:port/0")
    timeout: Duration = Field(
        timedelta(seconds=1), description="connecting and answering, for snapshots and enqueueing"
    )
    snapshot_ttl: Duration = Field(timedelta(hours=1), description="how long an ended job is answered from Redis")
    progress_ttl: Duration = Field(timedelta(milliseconds=500), description="how stale a running job's answer may be")


class BlobSettings(Group):
    """Where images and vectors lie."""

    url: str = Field("file://.state/blobs", description="file://, s3://, gs:// or az:// as obstore understands it")


class RetentionSettings(Group):
    """How long an ended job keeps what, for tenants that do not say otherwise. Enforced by beat."""

    images: Duration = Field(
        timedelta(days=30), description="the query image as uploaded and as seen, and generated images"
    )
    captions: Duration = Field(timedelta(days=90), description="captions, prompts and what files said of themselves")
    results: Duration = Field(timedelta(days=365), description="everything else; then only a tombstone is left")
    every: Duration = Field(timedelta(minutes=1), description="how often it is enforced")
    strays_after: Duration = Field(
        timedelta(hours=1), description="bytes without a row, of a process that died while storing, are deleted then"
    )


class CacheSettings(Group):
    """Generated images and answers that are used again. They are those of jobs and go with them; nothing is kept twice."""

    enabled: bool = Field(True, description="whether anything is used again")
    ttl: Duration = Field(timedelta(days=7), description="how long after it was made, however often it is used")
    max_entries: PositiveInt = Field(
        100_000, description="generated images of one tenant that may be used again; the least recently used go first"
    )
    max_bytes: PositiveInt = Field(20_000_000_000, description="of these generated images, for each tenant")
    shared: bool = Field(
        False,
        description="whether tenants use each other's generated images, of which each keeps a copy of its own; answers never",
    )
    every: Duration = Field(timedelta(minutes=15), description="how often the bounds are enforced")
