"""Snapshots: documents of jobs in Redis, which polling reads. Losing one costs a query, never a wrong answer.

A worker that ends a job stores its document and publishes its id on a channel. A reader that found nothing stores
what Postgres has, only where nothing is, so that a slow reader never covers an end; and what it stores for a
running job expires soon. A deleted job is covered by a tombstone, so that a slow reader cannot restore it.
"""

import contextlib
import re
import uuid
from itertools import takewhile

from redis import Redis
from redis.exceptions import RedisError

from app.db.models import ENDED, JobStatus
from app.documents import JobDocument
from app.settings import RedisSettings
from app.telemetry.metrics import job_ended

TOMBSTONE = b""
# Carries the ids of jobs, each as soon as its end can be read.
ENDED_CHANNEL = "jobs:ended"

_SETTLE = """
if redis.call('GET', KEYS[1]) ~= '' then
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    redis.call('PUBLISH', ARGV[3], ARGV[4])
end
"""


def connect_redis(settings: RedisSettings) -> Redis:
    """A client with a pool of its own; nothing connects yet. No retries: every caller has another way to its answer."""
    timeout = settings.timeout.total_seconds()
    return Redis.from_url(
        settings.url.get_secret_value(), socket_timeout=timeout, socket_connect_timeout=timeout, retry=None
    )


class Snapshots:
    """Documents as JSON bytes, by tenant and job. With Redis unavailable nothing is stored."""

    def __init__(self, redis: Redis, settings: RedisSettings) -> None:
        self._redis = redis
        self._ended = round(settings.snapshot_ttl.total_seconds() * 1000)
        self._running = max(1, round(settings.progress_ttl.total_seconds() * 1000))

    def get(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> bytes | None:
        """The stored document; TOMBSTONE for a deleted job."""
        try:
            data = self._redis.get(snapshot_key(tenant_id, job_id))
        except RedisError:
            return None
        return data if isinstance(data, bytes) else None

    def insert_if_absent(self, tenant_id: uuid.UUID, document: JobDocument) -> bytes:
        """Stores what Postgres has unless something is stored; returns the JSON."""
        data = document.model_dump_json().encode()
        ttl = self._ended if document.status in ENDED else self._running
        with contextlib.suppress(RedisError):
            self._redis.set(snapshot_key(tenant_id, document.id), data, px=ttl, nx=True)
        return data

    def store_ended(self, tenant_id: uuid.UUID, document: JobDocument) -> None:
        """Stores the document of a job that has ended, and wakes the clients that wait for it.

        It replaces anything but a tombstone: a deletion may have come before this.
        """
        ended = document.completed_at
        job_ended(document.status, (ended - document.created_at).total_seconds() if ended else None, document.timings)
        self._settle(tenant_id, document.id, document.model_dump_json().encode())

    def store_tombstone(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> bool:
        """Replaces the document by a tombstone; False when Redis is unavailable and may still have the document."""
        return self._settle(tenant_id, job_id, TOMBSTONE)

    def delete(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
        """Deletes a document that has more than Postgres still has."""
        with contextlib.suppress(RedisError):
            self._redis.delete(snapshot_key(tenant_id, job_id))

    def _settle(self, tenant_id: uuid.UUID, job_id: uuid.UUID, data: bytes) -> bool:
        try:
            self._redis.eval(_SETTLE, 1, snapshot_key(tenant_id, job_id), data, self._ended, ENDED_CHANNEL, str(job_id))
        except RedisError:
            return False
        return True


def snapshot_key(tenant_id: uuid.UUID, job_id: uuid.UUID) -> str:
    """The key of a job's document in Redis."""
    return f"job:{tenant_id}:{job_id}"


# Pydantic writes members in the order of the class; those before `status` are plain texts.
_BEFORE = "".join(f'"{name}":"[^"]*",' for name in takewhile("status".__ne__, JobDocument.model_fields))
_UNFINISHED = re.compile(f'{{{_BEFORE}"status":"(?:{JobStatus.QUEUED}|{JobStatus.PROCESSING})"'.encode())


def is_unfinished(document: bytes) -> bool:
    """Whether the job of a serialized `JobDocument` has yet to end, without parsing it: polling asks it each time."""
    return _UNFINISHED.match(document) is not None
