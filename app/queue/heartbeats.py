"""Which workers are alive and warm, as they say themselves every few seconds in Redis."""

import contextlib
import time
from collections.abc import Sequence

from redis import Redis
from redis.exceptions import RedisError

FRESH_SECONDS = 15.0
EVERY_SECONDS = 3.0


class Heartbeats:
    """One sorted set per role: worker names by the time they last said that they are warm."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def beat(self, role: str, worker: str) -> None:
        """Says that this worker is warm now. Silence while Redis is unavailable is what a reader then sees."""
        now = time.time()
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(_key(role), {worker: now})
                pipe.zremrangebyscore(_key(role), 0, now - 4 * FRESH_SECONDS)
                pipe.execute()
        except RedisError:
            pass

    def leave(self, role: str, worker: str) -> None:
        """Says that this worker is stopping."""
        with contextlib.suppress(RedisError):
            self._redis.zrem(_key(role), worker)

    def warm(self, roles: Sequence[str]) -> dict[str, int]:
        """How many workers of each role spoke lately. Raises RedisError when Redis does not answer."""
        since = time.time() - FRESH_SECONDS
        with self._redis.pipeline(transaction=False) as pipe:
            for role in roles:
                pipe.zcount(_key(role), since, "+inf")
            return dict(zip(roles, pipe.execute(), strict=True))


def _key(role: str) -> str:
    return f"workers:{role}"
