"""What follows from an attempt."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.webhooks.schedule import JITTER, SCHEDULE, AttemptOutcome, DeliveryState, decide, retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def middle(low: float, high: float) -> float:
    """No jitter."""
    return (low + high) / 2


def answered(status: int | None, **headers: str) -> AttemptOutcome:
    """An answer with headers."""
    return AttemptOutcome(status, {name.replace("_", "-"): value for name, value in headers.items()})


def test_the_schedule_is_the_specifications():
    """Ten attempts, the last of them 75 hours, 35 minutes and 5 seconds after the first."""
    assert len(SCHEDULE) == 10
    assert sum(SCHEDULE, timedelta()) == timedelta(hours=75, minutes=35, seconds=5)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_success_is_success(status: int):
    """Any 2xx delivers."""
    assert decide(1, answered(status), NOW, middle).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None):
    """No answer, a redirect, a mistake of either side: the next attempt is five seconds away."""
    decision = decide(1, answered(status), NOW, middle)
    assert (decision.state, decision.next_attempt_at) == (DeliveryState.PENDING, NOW + 5 * SECOND)


def test_each_attempt_waits_as_long_as_the_schedule_says_and_the_last_one_gives_up():
    """After the tenth there is none."""
    for attempt in range(1, 10):
        assert decide(attempt, answered(500), NOW, middle).next_attempt_at == NOW + SCHEDULE[attempt]
    assert decide(10, answered(500), NOW, middle).state is DeliveryState.FAILED


def test_chance_moves_an_attempt_a_little():
    """So that what failed together does not come back together."""
    for extreme, factor in ((min, 1 - JITTER), (max, 1 + JITTER)):
        decision = decide(3, answered(500), NOW, extreme)
        assert decision.next_attempt_at == NOW + SCHEDULE[3] * factor


def test_gone_is_gone():
    """410 ends the delivery whatever the schedule still has."""
    decision = decide(1, answered(410), NOW, middle)
    assert (decision.state, decision.gone) == (DeliveryState.DROPPED, True)


def test_what_can_never_work_is_not_tried_again():
    """An address that the guard refuses."""
    assert decide(1, AttemptOutcome(None, {}, permanent=True), NOW, middle).state is DeliveryState.FAILED


@pytest.mark.parametrize("status", [429, 502, 504])
def test_a_receiver_with_too_much_to_do_gets_a_pause(status: int):
    """Nothing is sent to it for as long as it asks for, or for a few seconds."""
    assert decide(1, answered(status), NOW, middle).pause_until == NOW + 5 * SECOND
    asked = decide(1, answered(status, retry_after="120"), NOW, middle)
    assert asked.pause_until == asked.next_attempt_at == NOW + 120 * SECOND


def test_other_failures_pause_nothing():
    """An event that cannot be delivered never holds back the next."""
    for status in (None, 302, 400, 500, 503):
        assert decide(1, answered(status, retry_after="120"), NOW, middle).pause_until is None


def test_retry_after_never_brings_an_attempt_forward():
    """The later of the two counts."""
    assert decide(2, answered(503, retry_after="10"), NOW, middle).next_attempt_at == NOW + SCHEDULE[2]
    assert decide(2, answered(503, retry_after="1000"), NOW, middle).next_attempt_at == NOW + 1_000 * SECOND


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, timedelta()),
        ("0", timedelta()),
        (" 90 ", 90 * SECOND),
        (format_datetime(NOW + 90 * SECOND, usegmt=True), 90 * SECOND),
        ("Sun, 01 Mar 2026 12:01:30", 90 * SECOND),
        (format_datetime(NOW - 90 * SECOND, usegmt=True), timedelta()),
        ("9" * 50, DAY),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        ("-5", timedelta()),
        ("1.5", timedelta()),
        ("soon", timedelta()),
        ("", timedelta()),
        ("²", timedelta()),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, asked: timedelta):
    """Seconds or a date; nonsense is nothing, and more than a day is a day."""
    assert retry_after(header, NOW) == asked
