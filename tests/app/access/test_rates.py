"""Requests per minute, over a real Valkey and over none."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from app.access.rates import Allowance, RateLimits
from app.api.job_responses import connect_async_redis
from app.settings import RedisSettings, Settings

UNREACHABLE = "redis://127.0.0.1:9/0"


class Clock:
    """A clock that a test sets."""

    now = 1_800_000_030.0  # half past a minute

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Half past a minute."""
    return Clock()


def run(url: str, clock: Clock, play: Callable[..., Awaitable[Any]], processes: int = 1) -> Any:
    """Plays with as many processes' limits, each with connections of its own."""

    async def main() -> Any:
        clients: list[AsyncRedis] = [connect_async_redis(RedisSettings(url=url)) for _ in range(processes)]
        try:
            return await play(*(RateLimits(client, clock) for client in clients))
        finally:
            for client in clients:
                await client.aclose(close_connection_pool=True)

    return anyio.run(main)


@pytest.mark.parametrize("redis_unavailable", [False, True])
def test_the_limit_is_exact(settings: Settings, redis: Redis, clock: Clock, redis_unavailable: bool):
    """Each request leaves one less; then all are refused until the next minute; also with Redis unavailable."""

    async def play(limits: RateLimits) -> tuple[list[Allowance], Allowance]:
        first = [await limits.take("key:a", 50) for _ in range(60)]
        clock.now += 30
        return first, await limits.take("key:a", 50)

    url = UNREACHABLE if redis_unavailable else settings.redis.url.get_secret_value()
    first, later = run(url, clock, play)
    assert [each.allowed for each in first] == [True] * 50 + [False] * 10
    assert [each.remaining for each in first] == [*range(49, -1, -1)] + [0] * 10
    assert {each.reset for each in first} == {30}
    assert later == Allowance(True, 50, 49, 60)


def test_callers_have_separate_limits(settings: Settings, redis: Redis, clock: Clock):
    """One key's requests do not count for another."""

    async def play(limits: RateLimits) -> list[bool]:
        return [(await limits.take(who, 1)).allowed for who in ("key:a", "key:a", "key:b")]

    assert run(settings.redis.url.get_secret_value(), clock, play) == [True, False, True]


def test_several_processes_together_never_exceed_the_limit(settings: Settings, redis: Redis, clock: Clock):
    """Four of them, each with a hundred requests at once: at most the limit, and hardly less."""

    async def play(*limits: RateLimits) -> int:
        allowed = 0

        async def ask(one: RateLimits) -> None:
            nonlocal allowed
            taken = await one.take("key:a", 200)
            allowed += taken.allowed

        async with anyio.create_task_group() as group:
            for one in limits:
                for _ in range(100):
                    group.start_soon(ask, one)
        return allowed

    assert 170 <= run(settings.redis.url.get_secret_value(), clock, play, processes=4) <= 200


def test_most_requests_need_no_redis_call(settings: Settings, redis: Redis, clock: Clock):
    """A thousand requests of three thousand take seven calls of Redis."""

    async def play(limits: RateLimits) -> None:
        for _ in range(1_000):
            assert (await limits.take("key:a", 3_000)).allowed

    redis.config_resetstat()
    run(settings.redis.url.get_secret_value(), clock, play)
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert calls <= 8  # the first one may find that the script is not there yet
