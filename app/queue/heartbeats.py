"""Heartbeats of warm workers: every few seconds each records one in Redis."""

import contextlib
import time
from collections.abc import Sequence

from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

FRESH_SECONDS = 15.0
EVERY_SECONDS = 3.0


class Heartbeats:
    """One sorted set per role: worker names by the time of their last heartbeat."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def beat(self, role: str, worker: str) -> None:
        """Records that this worker is warm now. While Redis is unavailable nothing is recorded."""
        now = time.time()
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(_key(role), {worker: now})
                pipe.zremrangebyscore(_key(role), 0, now - 4 * FRESH_SECONDS)
                pipe.execute()
        except RedisError:
            pass

    def remove(self, role: str, worker: str) -> None:
        """Removes the heartbeat of a worker that is stopping."""
        with contextlib.suppress(RedisError):
            self._redis.zrem(_key(role), worker)

    def warm(self, roles: Sequence[str]) -> dict[str, int]:
        """The number of workers of each role with a recent heartbeat. Raises RedisError."""
        since = time.time() - FRESH_SECONDS
        with self._redis.pipeline(transaction=False) as pipe:
            for role in roles:
                pipe.zcount(_key(role), since, "+inf")
            return dict(zip(roles, pipe.execute(), strict=True))

    def refusal(self) -> str | None:
        """Why Redis responds, but takes no messages; None where it takes them. Raises RedisError."""
        try:
            self._redis.set(_PROBE, "", px=1)
        except OutOfMemoryError:
            return "Redis is full: it takes no messages until there is room below its maxmemory."
        except ResponseError as error:  # a replica, or one that cannot write to its disk
            return f"Redis takes no messages: {str(error).partition(' ')[0]}."
        return None


_PROBE = "workers:probe"


def _key(role: str) -> str:
    return f"workers:{role}"
