"""Rate limits: the requests of a key in a minute, counted in Redis for all processes, which reserve shares of them.

A process reserves a twentieth of the minute's requests at a time, so that most requests cost no round trip. The limit
is never exceeded; when several processes hold the last shares, a key may be refused that much early. While Redis is
unavailable each process counts by itself: a limit remains, and requests below it are served. The functions below make
the headers and errors of all limits.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import structlog
from cachetools import LRUCache
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import QuotaExceeded, ReducedCapacity

log = structlog.get_logger(__name__)

WINDOW = 60
DAY = 86_400
# Names of headers. They and the types of the errors are those of draft-ietf-httpapi-ratelimit-headers-11.
POLICY, LIMIT = "RateLimit-Policy", "RateLimit"
# Seconds after which to try again.
_JOBS_WAIT = 1
_QUEUE_WAIT = 5
_SHARES = 20
_CACHED_CALLERS = 10_000
# How long a Redis that did not respond is not called: waiting for it each time would slow every caller down.
_BACKOFF_SECONDS = 5.0
_TAKE = """
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
local share = math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - used)
if share <= 0 then return {0, used} end
redis.call('INCRBY', KEYS[1], share)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {share, used + share}
"""


@dataclass(slots=True)
class _Share:
    """This process's part of one caller's minute."""

    minute: int
    limit: int
    held: int = 0  # reserved and not used
    free: int = field(init=False)  # not reserved by any process, as of the last reply of Redis
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.free = self.limit


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one more request is allowed, how many remain, and the seconds until the next minute."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class RateLimits:
    """Counts requests. All methods belong to the event loop."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._take = redis.register_script(_TAKE)
        self._shares: LRUCache[str, _Share] = LRUCache(_CACHED_CALLERS)
        self._call_redis_at = 0.0

    async def take(self, caller: str, limit: int) -> Allowance:
        """Takes one request of a caller that may make `limit` in a minute."""
        now = self._clock()
        minute = int(now // WINDOW)
        share = self._shares.get(caller)
        if share is None or share.minute != minute or share.limit != limit:
            share = self._shares[caller] = _Share(minute, limit)
        if share.held == 0 and share.free > 0:
            async with share.lock:
                if share.held == 0 and share.free > 0:
                    await self._refill(caller, share)
        allowed = share.held > 0
        share.held -= allowed
        return Allowance(allowed, limit, share.held + share.free, max(1, math.ceil((minute + 1) * WINDOW - now)))

    async def _refill(self, caller: str, share: _Share) -> None:
        wanted = max(1, share.limit // _SHARES)
        if time.monotonic() >= self._call_redis_at:
            try:
                key = f"rate:{caller}:{share.minute}"
                taken, used = await self._take(keys=[key], args=[wanted, share.limit, 2 * WINDOW])
            except RedisError as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                self._call_redis_at = time.monotonic() + _BACKOFF_SECONDS
            else:
                share.held, share.free = taken, max(0, share.limit - used)
                return
        share.held = min(wanted, share.free)
        share.free -= share.held


@lru_cache
def policies(requests_per_minute: int, concurrent_jobs: int) -> str:
    """The limits of a key, and of its tenant's open jobs."""
    return f'"requests";q={requests_per_minute};w={WINDOW}, "jobs";q={concurrent_jobs};qu="concurrent-requests"'


def remaining(allowance: Allowance) -> str:
    """The remaining requests of a key."""
    return f'"requests";r={allowance.remaining};t={allowance.reset}'


def daily_policies(jobs: int, size: int) -> str:
    """A tenant's limits of a day."""
    return f'"daily-jobs";q={jobs};w={DAY}, "daily-bytes";q={size};w={DAY};qu="content-bytes"'


def daily_remaining(jobs: int, size: int, seconds_left: int) -> str:
    """What remains of them."""
    return f'"daily-jobs";r={max(0, jobs)};t={seconds_left}, "daily-bytes";r={max(0, size)};t={seconds_left}'


def too_many_requests(allowance: Allowance) -> QuotaExceeded:
    """The error of a key that has used up its requests."""
    return QuotaExceeded(
        f"The key has used its {allowance.limit:,} requests of this minute; try again in the next one.",
        headers={"Retry-After": str(allowance.reset)},
        **{"violated-policies": ["requests"]},
    )


def too_many_jobs() -> QuotaExceeded:
    """The error of a tenant that has as many open jobs as it may have."""
    return QuotaExceeded(
        "The tenant has as many open jobs as it may have; submit the next one when one of them has ended.",
        headers={"Retry-After": str(_JOBS_WAIT), LIMIT: f'"jobs";r=0;t={_JOBS_WAIT}'},
        **{"violated-policies": ["jobs"]},
    )


def too_many_jobs_today(limit: int, seconds_left: int) -> QuotaExceeded:
    """The error of a tenant that has submitted as many jobs as it may in a day."""
    return _used_up_today("daily-jobs", f"The tenant has used its {limit:,} jobs of today", seconds_left)


def too_many_bytes_today(limit: int, seconds_left: int) -> QuotaExceeded:
    """The error of a tenant that has sent as many bytes as it may in a day."""
    return _used_up_today("daily-bytes", f"The tenant has used its {limit:,} bytes of today", seconds_left)


def _used_up_today(policy: str, detail: str, seconds_left: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"{detail}; try again after midnight UTC, or ask the operator for more.",
        headers={"Retry-After": str(seconds_left), LIMIT: f'"{policy}";r=0;t={seconds_left}'},
        **{"violated-policies": [policy]},
    )


def queues_too_long(max_open: int) -> ReducedCapacity:
    """The error of tenants with more than their share of the open jobs while there are too many."""
    return _reduced_capacity("Too many jobs are queued; try again later.", max_open)


def jobs_wait_too_long(max_open: int) -> ReducedCapacity:
    """The error of a tenant whose own jobs do not begin."""
    detail = "A job of this tenant has been waiting for a worker for too long; try again when it has begun."
    return _reduced_capacity(detail, max_open)


def _reduced_capacity(detail: str, max_open: int) -> ReducedCapacity:
    return ReducedCapacity(
        detail,
        headers={
            "Retry-After": str(_QUEUE_WAIT),
            POLICY: f'"queue";q={max_open};qu="concurrent-requests"',
            LIMIT: f'"queue";r=0;t={_QUEUE_WAIT}',
        },
        **{"violated-policies": ["queue"]},
    )
