"""Where the steps of a worker process read and write: jobs, claims, files, snapshots, messages."""

from collections.abc import Iterable
from dataclasses import dataclass

from redis import Redis

from app.db.blobs import Blobs, StoredBlob
from app.db.database import Database, connect
from app.jobs import deletion
from app.jobs.snapshots import Snapshots, connect_redis
from app.queue.broker import Broker
from app.settings import CacheSettings, JobSettings, Settings
from workers.banks import Banks
from workers.leases import Leases


@dataclass(frozen=True, slots=True)
class Storage:
    """The stores of one process, with the settings that bound claims and what is cached."""

    database: Database
    redis: Redis
    blobs: Blobs
    snapshots: Snapshots
    broker: Broker
    leases: Leases
    job_settings: JobSettings
    cache_settings: CacheSettings
    banks: Banks


def build_storage(settings: Settings, broker: Broker) -> Storage:
    """The stores that the settings name; nothing connects yet."""
    redis = connect_redis(settings.redis)
    database = Database(connect(settings.database))
    return Storage(
        database=database,
        redis=redis,
        blobs=Blobs(settings.blobs.url, durable=settings.blobs.durable),
        snapshots=Snapshots(redis, settings.redis),
        broker=broker,
        leases=Leases(database, settings.job.lease),
        job_settings=settings.job,
        cache_settings=settings.cache,
        banks=Banks(database, settings.bank),
    )


def discard(storage: Storage, stored: Iterable[StoredBlob]) -> None:
    """Deletes what a step stored and may not keep, because its claim was fenced off, e.g. by a cancelation.

    Bytes that a job uses stay.
    """
    deletion.discard(storage.database, storage.blobs, stored)
