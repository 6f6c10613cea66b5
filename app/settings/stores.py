"""The stores and how long they keep data: Postgres, Redis, blobs, retention, the cache."""

from datetime import timedelta

from pydantic import Field, NonNegativeInt, PositiveInt, SecretStr

from app.settings.group import Duration, Group


class DatabaseSettings(Group):
    """Postgres, the source of truth."""

    url: SecretStr = Field(description="postgresql://user:password@host:port/name")
    application_role: str | None = Field(
        None,
        description="for the migration, which connects as the owner of the tables: another role, which the service's "
        "processes connect as; it may not alter tables or the audit log",
    )
    pool_size: PositiveInt = Field(8, description="connections kept per process")
    max_overflow: NonNegativeInt = Field(8, description="connections above the pool, under load")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="per connection attempt")
    statement_timeout: Duration = Field(
        timedelta(seconds=15), description="of one statement; a Postgres that does not respond is given up 2 s later"
    )
    pooler: bool = Field(
        False,
        description="whether the URL is that of a pooler in transaction mode, such as PgBouncer: each transaction then "
        "sets what a session would have",
    )
    prepared_statements: bool = Field(
        True, description="off for a pooler that does not know prepared statements, such as PgBouncer before 1.21"
    )


class RedisSettings(Group):
    """Redis or Valkey: the broker and the snapshots. Its content may be lost."""

    url: SecretStr = Field(description="redis://:password@host:port/0")
    timeout: Duration = Field(
        timedelta(seconds=1), description="of connecting and of each command, for snapshots and enqueueing"
    )
    snapshot_ttl: Duration = Field(timedelta(hours=1), description="how long an ended job is kept in Redis")
    progress_ttl: Duration = Field(timedelta(milliseconds=500), description="how stale a running job's document may be")


class BlobSettings(Group):
    """The store of images and vectors."""

    url: str = Field("file://.state/blobs", description="file://, s3://, gs:// or az:// as obstore understands it")
    durable: bool = Field(
        True, description="of a folder: whether an uploaded image is on the disk before its job is accepted"
    )


class RetentionSettings(Group):
    """How long an ended job keeps its data, for tenants without values of their own. Enforced by beat."""

    images: Duration = Field(
        timedelta(days=30), description="the query image, as uploaded and in canonical form, and generated images"
    )
    captions: Duration = Field(timedelta(days=90), description="captions, prompts and evidence in files")
    results: Duration = Field(timedelta(days=365), description="everything else; only a tombstone remains")
    every: Duration = Field(timedelta(minutes=1), description="how often it is enforced")
    tombstones: Duration = Field(
        timedelta(days=90), description="of deleted jobs: a job is a 410 for that long after its deletion, then a 404"
    )
    source_calls: Duration = Field(
        timedelta(days=400), description="records of calls to vendors; the documents of older jobs do not list them"
    )
    audit: Duration = Field(
        timedelta(days=400), ge=timedelta(days=30), description="entries of the audit log; at least 30 days"
    )
    keys: Duration = Field(timedelta(days=90), description="keys, after they were revoked or expired")
    deliveries: Duration = Field(timedelta(days=90), description="webhook deliveries with their attempts")
    volumes: Duration = Field(timedelta(days=400), description="what each tenant submitted on a day")
    unreferenced_after: Duration = Field(
        timedelta(hours=1), description="blobs without a row, of a process that died while storing, are deleted then"
    )


class CacheSettings(Group):
    """Reuse of generated images and results. They belong to jobs and are deleted with them; nothing is stored twice."""

    enabled: bool = Field(True, description="whether anything is reused")
    ttl: Duration = Field(timedelta(days=7), description="how long after its creation, however often it is reused")
    max_entries: PositiveInt = Field(
        100_000, description="reusable generated images of one tenant; the least recently used are evicted first"
    )
    max_bytes: PositiveInt = Field(20_000_000_000, description="of these images, for each tenant")
    shared: bool = Field(
        False,
        description="whether tenants reuse each other's generated images, each with its own copy; results never",
    )
    every: Duration = Field(timedelta(minutes=15), description="how often the bounds are enforced")
