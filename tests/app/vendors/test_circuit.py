"""Circuits of sources, over a real Valkey and over none."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis import Redis

from app.jobs.snapshots import connect_redis
from app.settings import RedisSettings, RemoteSettings
from app.vendors.circuit import Circuits, Open, Report, which_are_open

OPEN_FOR = 60.0
SETTINGS = RemoteSettings(circuit_failures=2, circuit_refusals=3, circuit_open_for=timedelta(seconds=OPEN_FOR))


@pytest.fixture
def source(redis: Redis) -> Iterator[str]:
    """A source of one test."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    redis.delete(f"circuit:{name}")


@pytest.fixture
def circuits(redis: Redis) -> Circuits:
    """Those of one process."""
    return Circuits(redis, SETTINGS)


def pass_time(redis: Redis, source: str, seconds: float) -> None:
    """Moves what the circuit waits for into the past, as if these seconds and a bit had gone by."""
    for moment in ("open_until", "probe_until"):
        if redis.hexists(f"circuit:{source}", moment):
            redis.hincrby(f"circuit:{source}", moment, -round(1000 * seconds) - 1)


def is_open(circuits: Circuits, source: str) -> bool:
    """Whether no call may be made."""
    try:
        circuits.check(source, 60)
    except Open:
        return True
    return False


def test_failures_in_a_row_open_it(circuits: Circuits, source: str, redis: Redis):
    """One success in between and the count begins anew; the sentence says why and for how long."""
    for what in (Report.FAILURE, Report.SUCCESS, Report.FAILURE):
        circuits.report(source, what)
    assert not is_open(circuits, source)
    assert which_are_open(redis, [source]) == {source: False}
    circuits.report(source, Report.FAILURE)
    with pytest.raises(Open, match="failed too often lately and is left alone for another 60 s"):
        circuits.check(source, 60)
    assert which_are_open(redis, [source]) == {source: True}


def test_refusals_have_a_threshold_of_their_own(circuits: Circuits, source: str):
    """A vendor that refuses is there: refusals are no failures, and many of them in a row open the circuit, too."""
    circuits.report(source, Report.FAILURE)
    for _ in range(2):
        circuits.report(source, Report.REFUSAL)
    circuits.report(source, Report.FAILURE)
    for _ in range(2):
        circuits.report(source, Report.REFUSAL)
    assert not is_open(circuits, source)
    circuits.report(source, Report.REFUSAL)
    with pytest.raises(Open, match="refused too many captions"):
        circuits.check(source, 60)


def test_one_probe_decides(circuits: Circuits, source: str, redis: Redis):
    """After a while one call goes through, and only one; its success closes the circuit."""
    for _ in range(2):
        circuits.report(source, Report.FAILURE)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)
    assert is_open(circuits, source)
    assert which_are_open(redis, [source]) == {source: True}
    circuits.report(source, Report.SUCCESS)
    assert not is_open(circuits, source)
    assert which_are_open(redis, [source]) == {source: False}


def test_a_failing_probe_opens_it_for_longer(circuits: Circuits, source: str, redis: Redis):
    """Twice as long as before."""
    for _ in range(2):
        circuits.report(source, Report.FAILURE)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)
    circuits.report(source, Report.FAILURE)
    pass_time(redis, source, OPEN_FOR)
    assert is_open(circuits, source)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)


def test_a_refusing_probe_shows_that_a_failing_vendor_is_back(circuits: Circuits, source: str, redis: Redis):
    """What opened for failures closes on any answer; what opened for refusals does not close on one more."""
    for _ in range(2):
        circuits.report(source, Report.FAILURE)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)
    circuits.report(source, Report.REFUSAL)
    assert not is_open(circuits, source)
    for _ in range(2):
        circuits.report(source, Report.REFUSAL)
    assert is_open(circuits, source)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)
    circuits.report(source, Report.REFUSAL)
    assert is_open(circuits, source)


def test_a_lost_or_useless_probe_makes_way_for_another(circuits: Circuits, source: str, redis: Redis):
    """A probe whose worker died is forgotten after its time; one that has to wait reports nothing."""
    for _ in range(2):
        circuits.report(source, Report.FAILURE)
    pass_time(redis, source, OPEN_FOR)
    circuits.check(source, 30)
    assert is_open(circuits, source)
    pass_time(redis, source, 30)
    assert not is_open(circuits, source)
    circuits.report(source, Report.NEITHER)
    assert not is_open(circuits, source)


def test_calls_from_before_do_not_count(circuits: Circuits, source: str, redis: Redis):
    """What was under way when the circuit opened neither closes it nor keeps it open for longer."""
    for _ in range(2):
        circuits.report(source, Report.FAILURE)
    for what in (Report.SUCCESS, Report.FAILURE):
        circuits.report(source, what)
    assert is_open(circuits, source)
    pass_time(redis, source, OPEN_FOR)
    assert not is_open(circuits, source)


def test_without_redis_it_is_closed(source: str):
    """Without Redis, reporting does nothing."""
    unreachable = connect_redis(RedisSettings(url="redis://127.0.0.1:9/0"))
    circuits = Circuits(unreachable, SETTINGS)
    for _ in range(5):
        circuits.report(source, Report.FAILURE)
    assert not is_open(circuits, source)
