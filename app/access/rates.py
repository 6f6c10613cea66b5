"""How many requests a key may make in a minute: one count in Redis for all processes, spent from shares.

A process takes a twentieth of the minute's requests at once and spends it by itself, so that most requests cost no
round trip. The limit is never passed; when several processes hold what is left, a key may be refused that much early.
With Redis away each process counts for itself until it is back: never no limit, never everybody refused.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from cachetools import LRUCache
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

WINDOW = 60
_SHARES = 20
_REMEMBERED = 10_000
# So long a Redis that did not answer is left alone: waiting for it each time would slow every caller down.
_LEFT_ALONE_SECONDS = 5.0
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
    """What this process knows of one caller's minute."""

    minute: int
    limit: int
    held: int = 0  # taken and not spent
    free: int = field(init=False)  # not taken by anybody when last heard of
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.free = self.limit


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one more request is allowed, what is left of the minute's, and the seconds until the next minute."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


class RateLimits:
    """Counts requests. All methods belong to the event loop."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._take = redis.register_script(_TAKE)
        self._shares: LRUCache[str, _Share] = LRUCache(_REMEMBERED)
        self._ask_again_at = 0.0

    async def take(self, who: str, limit: int) -> Allowance:
        """One request of a caller that may make so many in a minute."""
        now = self._clock()
        minute = int(now // WINDOW)
        share = self._shares.get(who)
        if share is None or share.minute != minute or share.limit != limit:
            share = self._shares[who] = _Share(minute, limit)
        if share.held == 0 and share.free > 0:
            async with share.lock:
                if share.held == 0 and share.free > 0:
                    await self._refill(who, share)
        allowed = share.held > 0
        share.held -= allowed
        return Allowance(allowed, limit, share.held + share.free, max(1, math.ceil((minute + 1) * WINDOW - now)))

    async def _refill(self, who: str, share: _Share) -> None:
        wanted = max(1, share.limit // _SHARES)
        if time.monotonic() >= self._ask_again_at:
            try:
                key = f"rate:{who}:{share.minute}"
                taken, used = await self._take(keys=[key], args=[wanted, share.limit, 2 * WINDOW])
            except RedisError as error:
                log.warning("redis_unavailable", error=type(error).__name__)
                self._ask_again_at = time.monotonic() + _LEFT_ALONE_SECONDS
            else:
                share.held, share.free = taken, max(0, share.limit - used)
                return
        share.held = min(wanted, share.free)
        share.free -= share.held
