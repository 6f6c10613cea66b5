"""What polling reads: a job's document in Redis. Losing it costs a query, never a wrong answer.

A worker that ends a job writes its document plainly. A reader that found nothing fills in what Postgres says, only
where nothing is, so that a slow reader never covers an end; and what it fills in for a running job expires at once.
"""

import contextlib
import uuid

from redis import Redis
from redis.exceptions import RedisError

from app.documents import JobDocument
from app.settings import RedisSettings
from app.store.models import ENDED


def connect_redis(settings: RedisSettings) -> Redis:
    """A client with a pool of its own; nothing connects yet. No retries: every caller has another way to its answer."""
    timeout = settings.timeout.total_seconds()
    return Redis.from_url(
        settings.url.get_secret_value(), socket_timeout=timeout, socket_connect_timeout=timeout, retry=None
    )


class Snapshots:
    """Documents as JSON bytes, by tenant and job. Redis being away reads as nothing stored."""

    def __init__(self, redis: Redis, settings: RedisSettings) -> None:
        self._redis = redis
        self._ended = round(settings.snapshot_ttl.total_seconds() * 1000)
        self._running = max(1, round(settings.progress_ttl.total_seconds() * 1000))

    def read(self, tenant_id: uuid.UUID, job_id: uuid.UUID) -> bytes | None:
        """The stored document."""
        try:
            data = self._redis.get(_key(tenant_id, job_id))
        except RedisError:
            return None
        return data if isinstance(data, bytes) else None

    def fill(self, tenant_id: uuid.UUID, document: JobDocument) -> bytes:
        """Stores what Postgres said unless something is there; returns the JSON."""
        data = document.model_dump_json().encode()
        ttl = self._ended if document.status in ENDED else self._running
        with contextlib.suppress(RedisError):
            self._redis.set(_key(tenant_id, document.id), data, px=ttl, nx=True)
        return data

    def end(self, tenant_id: uuid.UUID, document: JobDocument) -> None:
        """Stores the document of a job that has ended, over whatever is there."""
        with contextlib.suppress(RedisError):
            self._redis.set(_key(tenant_id, document.id), document.model_dump_json().encode(), px=self._ended)


def _key(tenant_id: uuid.UUID, job_id: uuid.UUID) -> str:
    return f"job:{tenant_id}:{job_id}"
