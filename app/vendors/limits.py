"""How much a source may be asked, by all workers together: calls at once, calls begun in a minute, pauses it asked for.

Calls at once are leases in Redis that end by themselves when their holder dies. Calls begun are counted in a sliding
minute, exactly, and at most a sixth of a minute's in any ten seconds: a token bucket would let twice the rate through
in some minute, or waste a part of it. A caller that must wait learns for how long, and a free place goes to
those that waited. Without Redis each process keeps a quarter of every limit by itself (at least one call at once):
never no limit, and never nothing for those whose limit is small.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

import structlog
from redis import Redis
from redis.exceptions import RedisError

from attribution.catalog import Limits

log = structlog.get_logger(__name__)

# The vendor's clock is not ours, and calls do not arrive as evenly as they are sent.
_MINUTE_MS, _TENTH_MS, _SLACK_MS = 60_000, 10_000, 250
# So long a Redis that did not answer is left alone: waiting for it each time would hold up every call.
_LEFT_ALONE_SECONDS = 5.0
_SHARE_ALONE = 4
# A vendor that asks for a pause and does not say how long gets this one, twice as long each time, a minute at most.
_PAUSE_MS, _LONGEST_PAUSE_MS = 2_000, 60_000

_ACQUIRE = """
local leases, starts, pause, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local slot, lease_ms, at_once, in_minute, in_tenth = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]),
    tonumber(ARGV[4]), tonumber(ARGV[5])
local minute_ms, tenth_ms, ordering, queued = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1', ARGV[9] == '1'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function wait(ms)
    if ARGV[10] == '1' then redis.call('SET', waiting, '1', 'PX', 600000) end
    return {0, math.max(0, math.ceil(ms))}
end

if ordering then
    local until_ms = tonumber(redis.call('GET', pause) or '0')
    if until_ms > now then return wait(until_ms - now) end
    if not queued and redis.call('EXISTS', waiting) == 1 then return {0, 0} end
end
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
if at_once > 0 and not redis.call('ZSCORE', leases, slot) and redis.call('ZCARD', leases) >= at_once then
    return wait(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2] - now)
end
if ordering and in_minute > 0 then
    redis.call('ZREMRANGEBYSCORE', starts, '-inf', now - minute_ms)
    local ms, begun = 0, redis.call('ZCARD', starts)
    if begun >= in_minute then
        ms = redis.call('ZRANGE', starts, begun - in_minute, begun - in_minute, 'WITHSCORES')[2] + minute_ms - now
    end
    local nth = redis.call('ZRANGE', starts, -in_tenth, -in_tenth, 'WITHSCORES')[2]
    if nth then ms = math.max(ms, nth + tenth_ms - now) end
    if ms > 0 then return wait(ms) end
    redis.call('ZADD', starts, now, slot)
    redis.call('PEXPIRE', starts, minute_ms)
end
redis.call('ZADD', leases, now + lease_ms, slot)
if redis.call('PTTL', leases) < lease_ms then redis.call('PEXPIRE', leases, lease_ms) end
return {1, 0}
"""
_RELEASE = """
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == '1' then redis.call('ZREM', KEYS[2], ARGV[1]) end
return redis.call('EXISTS', KEYS[4])
"""
# Of calls that were refused together one counts: they do not make the next pause longer.
_PAUSE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local until_ms = tonumber(redis.call('GET', KEYS[3]) or '0')
local ms = tonumber(ARGV[1])
if ms <= 0 then
    if until_ms > now then return until_ms - now end
    local times = redis.call('INCR', KEYS[5])
    redis.call('PEXPIRE', KEYS[5], 2 * ARGV[3])
    ms = math.min(tonumber(ARGV[3]), ARGV[2] * 2 ^ (times - 1))
end
if now + ms > until_ms then redis.call('SET', KEYS[3], now + ms, 'PX', math.ceil(ms)) end
return math.ceil(math.max(ms, until_ms - now))
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place among the calls of a source that may be under way at once."""

    source: str
    id: uuid.UUID
    alone: bool = False  # given by this process, as Redis is unavailable


@dataclass(frozen=True, slots=True)
class Wait:
    """There is no place: when it is worth asking again. Zero: others wait already, and come first."""

    seconds: float


class SourceLimits:
    """The limits of every source, for the threads of one process."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._acquire = redis.register_script(_ACQUIRE)
        self._release = redis.register_script(_RELEASE)
        self._pause = redis.register_script(_PAUSE)
        self._clock = clock
        self._lock = Lock()
        self._alone: dict[str, _Alone] = {}
        self._ask_again_at = 0.0

    def acquire(
        self,
        source: str,
        limits: Limits,
        lease: float,
        *,
        slot_id: uuid.UUID | None = None,
        ordering: bool = True,
        queued: bool = False,
        announce: bool = False,
    ) -> Slot | Wait:
        """A place for one call, for at most `lease` seconds.

        With a `slot_id` that has a place already it is kept. Not `ordering`: the call only asks after an order that
        was made. `queued`: it has waited, and need not stand back behind others who do. `announce`: where there is no
        place, the next release reports that a caller waits.
        """
        slot_id = slot_id or uuid.uuid4()
        per_minute = limits.per_minute or 0
        in_minute = max(1, int(per_minute)) if per_minute else 0
        minute = _MINUTE_MS / per_minute if 0 < per_minute < 1 else _MINUTE_MS
        arguments: list[str | int] = [
            *(slot_id.hex, round(lease * 1000), limits.concurrency or 0, in_minute, -(-in_minute // 6)),
            *(round(minute) + _SLACK_MS, _TENTH_MS + _SLACK_MS, int(ordering), int(queued), int(announce)),
        ]
        if self._clock() >= self._ask_again_at:
            try:
                granted, ms = self._acquire(keys=_keys(source), args=arguments)
            except RedisError as error:
                self._leave_alone(error)
            else:
                return Slot(source, slot_id) if granted else Wait(ms / 1000)
        with self._lock:
            alone = self._alone.setdefault(source, _Alone())
            seconds = alone.take(limits, slot_id, self._clock(), self._clock() + lease)
        return Wait(seconds) if seconds > 0 else Slot(source, slot_id, alone=True)

    def release(self, slot: Slot, *, unused: bool = False) -> bool:
        """Releases a place; `unused` where nothing was ordered. Returns whether a caller waits for it."""
        if slot.alone:
            with self._lock:
                self._alone[slot.source].slots.pop(slot.id, None)
            return True
        if self._clock() < self._ask_again_at:
            return True
        try:
            return bool(self._release(keys=_keys(slot.source), args=[slot.id.hex, int(unused)]))
        except RedisError as error:  # the lease runs out
            self._leave_alone(error)
            return True

    def pause(self, source: str, seconds: float | None) -> float:
        """Asks nothing more of a source for so long, or for a while that grows; returns how long that is."""
        try:
            ms: int = self._pause(keys=_keys(source), args=[round((seconds or 0) * 1000), _PAUSE_MS, _LONGEST_PAUSE_MS])
        except RedisError as error:
            self._leave_alone(error)
            seconds = seconds or _LONGEST_PAUSE_MS / 1000
            with self._lock:
                self._alone.setdefault(source, _Alone()).paused_until = self._clock() + seconds
            return seconds
        return ms / 1000

    def clear_waiting(self, source: str) -> None:
        """Records that a place was free and no caller waited for it."""
        try:
            self._redis.delete(_keys(source)[3])
        except RedisError as error:
            self._leave_alone(error)

    def _leave_alone(self, error: RedisError) -> None:
        log.warning("redis_unavailable", error=type(error).__name__)
        self._ask_again_at = self._clock() + _LEFT_ALONE_SECONDS


@dataclass(slots=True)
class _Alone:
    """What this process itself counts of a source while Redis is unavailable."""

    slots: dict[uuid.UUID, float] = field(default_factory=dict)
    last_start: float | None = None
    paused_until: float = 0.0

    def take(self, limits: Limits, slot_id: uuid.UUID, now: float, until: float) -> float:
        """Zero when the place is taken, otherwise the seconds to wait."""
        if self.paused_until > now:
            return self.paused_until - now
        self.slots = {held: ends for held, ends in self.slots.items() if ends > now}
        if limits.concurrency and len(self.slots) >= max(1, limits.concurrency // _SHARE_ALONE):
            return min(self.slots.values()) - now
        if limits.per_minute:
            apart = _SHARE_ALONE * _MINUTE_MS / 1000 / limits.per_minute
            if self.last_start is not None and self.last_start + apart > now:
                return self.last_start + apart - now
            self.last_start = now
        self.slots[slot_id] = until
        return 0.0


def _keys(source: str) -> list[str]:
    return [f"limit:{source}:{name}" for name in ("leases", "starts", "pause", "waiting", "pauses")]
