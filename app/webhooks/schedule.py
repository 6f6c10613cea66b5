"""The decision after an attempt: delivered, tried again and when, or given up. Clock and chance are passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

# Of the n-th attempt after the one before it: three days and three and a half hours in all, as the specification's.
SCHEDULE = tuple(
    timedelta(seconds=seconds) for seconds in (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
JITTER = 0.1
_GONE = 410
# These do not say that the event is bad but that the receiver has too much to do.
_THROTTLING = (429, 502, 504)

# A random number between two bounds, as `random.uniform`.
Uniform = Callable[[float, float], float]


class DeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # every attempt that the schedule has was made
    DROPPED = "dropped"  # the receiver is gone or was switched off


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt ended: a status with the answer's headers (in lower case), or neither and maybe for ever."""

    status: int | None
    headers: Mapping[str, str]
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens next. `pause_until`: the receiver is sent nothing before. `gone`: never anything again."""

    state: DeliveryState
    next_attempt_at: datetime | None = None
    pause_until: datetime | None = None
    gone: bool = False


def decide(attempt: int, outcome: AttemptOutcome, now: datetime, uniform: Uniform) -> Decision:
    """What follows from the outcome of the attempt of this number, counted from 1."""
    status = outcome.status
    if status is not None and 200 <= status < 300:
        return Decision(DeliveryState.DELIVERED)
    if status == _GONE:
        return Decision(DeliveryState.DROPPED, gone=True)
    requested = retry_after(outcome.headers.get("retry-after"), now)
    pause = now + max(requested, SCHEDULE[1]) if status in _THROTTLING else None
    if outcome.permanent or attempt >= len(SCHEDULE):
        return Decision(DeliveryState.FAILED, pause_until=pause)
    delay = SCHEDULE[attempt] * uniform(1 - JITTER, 1 + JITTER)
    return Decision(DeliveryState.PENDING, now + max(delay, requested), pause)


def retry_after(header: str | None, now: datetime) -> timedelta:
    """The wait of a Retry-After header, in seconds or as a date; at most a day, and zero where it is malformed."""
    if header is None:
        return timedelta(0)
    try:
        if header.strip().isdecimal():
            requested = timedelta(seconds=min(int(header), 10**6))
        else:
            date = parsedate_to_datetime(header)
            requested = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return timedelta(0)
    return min(max(requested, timedelta(0)), SCHEDULE[-1])
