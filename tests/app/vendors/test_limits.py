"""Limits of sources, over a real Valkey and over none; several processes are several clients."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from app.jobs.snapshots import connect_redis
from app.settings import RedisSettings, Settings
from app.vendors.limits import Slot, SourceLimits, Wait
from attribution.catalog import Limits

UNREACHABLE = "redis://127.0.0.1:9/0"
Make = Callable[..., SourceLimits]


@pytest.fixture
def source(redis: Redis) -> Iterator[str]:
    """A source of one test, and nothing left of it afterwards."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for key in redis.scan_iter(f"limit:{name}:*"):
        redis.delete(key)


@pytest.fixture
def process(settings: Settings) -> Iterator[Make]:
    """Makes the limits of one process."""
    clients: list[Redis] = []

    def make(url: str | None = None, clock: Callable[[], float] = time.monotonic) -> SourceLimits:
        client = connect_redis(RedisSettings(url=url) if url else settings.redis)
        clients.append(client)
        return SourceLimits(client, clock)

    yield make
    for client in clients:
        client.close()


def taken(limits: SourceLimits, source: str, given: Limits, **options: object) -> Slot:
    """A place, which must be there."""
    slot = limits.acquire(source, given, 60, **options)  # type: ignore[arg-type]
    assert isinstance(slot, Slot)
    return slot


def refused(limits: SourceLimits, source: str, given: Limits, **options: object) -> float:
    """The seconds to wait, since there must be no place."""
    found = limits.acquire(source, given, 60, **options)  # type: ignore[arg-type]
    assert isinstance(found, Wait)
    return found.seconds


def test_calls_at_once_are_counted_over_all_processes(process: Make, source: str):
    """Of many threads in two processes exactly as many get a place as there are; one given back is one to be had."""
    here, there = process(), process()
    given = Limits(concurrency=3)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda k: (here, there)[k % 2].acquire(source, given, 60), range(32)))
    slots = [each for each in found if isinstance(each, Slot)]
    assert len(slots) == 3
    assert not here.release(slots[0])  # no caller waits
    taken(there, source, given, queued=True)
    assert 59 < refused(there, source, given, queued=True) <= 60


def test_who_waits_comes_before_who_comes(process: Make, source: str):
    """A place that became free is not for newcomers while others wait, and is again once none does."""
    limits, given = process(), Limits(concurrency=1)
    first = taken(limits, source, given)
    refused(limits, source, given, announce=True)
    assert limits.release(first)
    assert refused(limits, source, given) == 0
    second = taken(limits, source, given, queued=True)
    limits.release(second, unused=True)
    limits.clear_waiting(source)
    third = taken(limits, source, given)
    assert not limits.release(third)


def test_a_dead_holders_place_becomes_free(process: Make, source: str):
    """A lease that is not released expires, and a waiting caller learns when."""
    limits, given = process(), Limits(concurrency=1)
    assert isinstance(limits.acquire(source, given, 0.05), Slot)
    time.sleep(refused(limits, source, given) + 0.01)
    taken(limits, source, given, queued=True)


def test_an_order_made_before_keeps_its_place(process: Make, source: str):
    """Asking after an order that a dead worker made takes over its lease, counts no new start and ignores a pause."""
    here, there = process(), process()
    given = Limits(concurrency=1, per_minute=1)
    slot = taken(here, source, given)
    here.pause(source, 30)
    assert taken(there, source, given, slot_id=slot.id, ordering=False) == slot
    assert refused(there, source, given, ordering=False) > 0


def test_calls_begun_in_a_minute(process: Make, source: str, redis: Redis):
    """At most a sixth of a minute's in ten seconds, all of them in a minute; a waiting caller learns how long."""
    limits, given = process(), Limits(per_minute=12)
    for _ in range(2):
        taken(limits, source, given)
    assert 10 < refused(limits, source, given) <= 10.25
    key = f"limit:{source}:starts"
    now = time.time() * 1000
    redis.delete(key)
    redis.zadd(key, {f"old-{k}": now - 11_000 - k for k in range(11)})
    taken(limits, source, given, queued=True)
    assert 49 < refused(limits, source, given, queued=True) <= 49.25
    redis.zadd(key, {"old-10": now - 61_000})
    taken(limits, source, given, queued=True)


def test_what_was_not_ordered_does_not_count(process: Make, source: str):
    """A place given back unused leaves the minute as it was."""
    limits, given = process(), Limits(per_minute=1)
    limits.release(taken(limits, source, given), unused=True)
    limits.release(taken(limits, source, given))
    assert refused(limits, source, given) > 50


def test_less_than_one_call_a_minute(process: Make, source: str):
    """Half a call a minute is one in two minutes."""
    limits, given = process(), Limits(per_minute=0.5)
    taken(limits, source, given)
    assert 119 < refused(limits, source, given) <= 120.25


def test_a_pause_holds_for_everybody(process: Make, source: str):
    """All processes keep what a vendor asked for, for a source without limits, too; a shorter one changes nothing."""
    here, there = process(), process()
    assert here.pause(source, 30) == 30
    assert here.pause(source, 5) > 29
    assert 29 < refused(there, source, Limits(), queued=True) <= 30


def test_pauses_that_were_not_measured_grow(process: Make, source: str, redis: Redis):
    """Without a Retry-After it is two seconds, then four; refusals that come together count once."""
    limits = process()
    assert limits.pause(source, None) == 2
    assert limits.pause(source, None) <= 2
    redis.delete(f"limit:{source}:pause")
    assert limits.pause(source, None) == 4


def test_without_redis_each_process_keeps_a_part(process: Make, source: str):
    """A quarter of the calls at once and of the rate, and at least one call: never everything, never nothing."""
    now = 1_000.0
    limits = process(UNREACHABLE, lambda: now)
    given = Limits(concurrency=8)
    slots = [taken(limits, source, given) for _ in range(2)]
    assert 59 <= refused(limits, source, given) <= 60
    limits.release(slots[0])
    taken(limits, source, given)
    assert isinstance(limits.acquire("other", Limits(concurrency=1, per_minute=60), 60), Slot)
    assert refused(limits, "other", Limits(per_minute=60)) == 4
    now += 4
    taken(limits, "other", Limits(per_minute=60))
    assert limits.pause("third", 9) == 9
    assert refused(limits, "third", Limits()) == 9


def test_a_redis_that_is_back_is_asked_again(process: Make, source: str, settings: Settings):
    """It is left alone for a few seconds, in which no caller waits for it, and then counts for all again."""
    now = 1_000.0
    limits = process(UNREACHABLE, lambda: now)
    assert taken(limits, source, Limits(concurrency=1)).alone
    limits._redis.connection_pool = connect_redis(settings.redis).connection_pool
    assert refused(limits, source, Limits(concurrency=1)) > 0
    now += 6
    assert not taken(limits, source, Limits(concurrency=1)).alone
