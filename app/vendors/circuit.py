"""Whether a source is worth asking: a circuit per source, in Redis, that all workers read and report to.

It opens when a vendor fails several times in a row, or refuses many times in a row: regenerating what it does not want
endangers the operator's account. After a while one call is let through; its end closes the circuit or opens it for
twice as long. Without Redis every circuit counts as closed: its state is unknown.
"""

import time
from collections.abc import Callable, Iterable
from enum import StrEnum

import structlog
from redis import Redis
from redis.exceptions import RedisError

from app.settings import RemoteSettings

log = structlog.get_logger(__name__)

_LEFT_ALONE_SECONDS = 5.0
# So many doublings of the time that a circuit stays open.
_DOUBLINGS = 5

_ALLOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
if open_until == 0 then return {1, 0, ''} end
local cause = redis.call('HGET', KEYS[1], 'cause')
if open_until > now then return {0, open_until - now, cause} end
local probe_until = tonumber(redis.call('HGET', KEYS[1], 'probe_until') or '0')
if probe_until > now then return {0, probe_until - now, cause} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[1])
return {1, 0, cause}
"""
_REPORT = """
local what, most, open_ms, doublings = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
local cause = redis.call('HGET', KEYS[1], 'cause')
if open_until > now then return 0 end
local probing = open_until > 0
if what == 'neither' then
    redis.call('HDEL', KEYS[1], 'probe_until')
    return 0
end
if what == 'success' or (probing and what == 'refusal' and cause == 'failure') then
    redis.call('DEL', KEYS[1])
    if what == 'success' then return 0 end
    probing = false
end
local count = redis.call('HINCRBY', KEYS[1], what, 1)
redis.call('HDEL', KEYS[1], what == 'failure' and 'refusal' or 'failure')
redis.call('PEXPIRE', KEYS[1], 3600000)
if not probing and count < most then return 0 end
local times = redis.call('HINCRBY', KEYS[1], 'times', 1) - 1
redis.call('HDEL', KEYS[1], 'probe_until')
redis.call('HSET', KEYS[1], 'cause', what, 'open_until', now + open_ms * 2 ^ math.min(times, doublings))
redis.call('PEXPIRE', KEYS[1], 3600000 + 2 * open_ms * 2 ^ doublings)
return 1
"""


class Report(StrEnum):
    """What the end of a call says of the one who was called."""

    SUCCESS = "success"
    FAILURE = "failure"
    REFUSAL = "refusal"
    NEITHER = "neither"  # it asked for time, or our own time was over


class Open(Exception):
    """The circuit is open; the message is a sentence for callers."""


class Circuits:
    """The circuits of every source."""

    def __init__(self, redis: Redis, settings: RemoteSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._allow = redis.register_script(_ALLOW)
        self._report = redis.register_script(_REPORT)
        self._clock = clock
        self._ask_again_at = 0.0

    def check(self, source: str, probe: float) -> None:
        """Raises Open, unless one more call may be made; a probe without a report within `probe` is forgotten."""
        if self._clock() < self._ask_again_at:
            return
        try:
            allowed, ms, cause = self._allow(keys=[_key(source)], args=[round(probe * 1000)])
        except RedisError as error:
            self._leave_alone(error)
            return
        if not allowed:
            did = "refused too many captions" if cause == b"refusal" else "failed too often"
            raise Open(f"The source {did} lately and is left alone for another {max(1, round(ms / 1000))} s.")

    def report(self, source: str, what: Report) -> None:
        """Says how a call ended."""
        if self._clock() < self._ask_again_at:
            return
        given = self._settings
        most = given.circuit_refusals if what is Report.REFUSAL else given.circuit_failures
        open_ms = round(given.circuit_open_for.total_seconds() * 1000)
        try:
            if self._report(keys=[_key(source)], args=[what.value, most, open_ms, _DOUBLINGS]):
                log.warning("circuit_opened", source=source, cause=what.value)
        except RedisError as error:
            self._leave_alone(error)

    def _leave_alone(self, error: RedisError) -> None:
        log.warning("redis_unavailable", error=type(error).__name__)
        self._ask_again_at = self._clock() + _LEFT_ALONE_SECONDS


def which_are_open(redis: Redis, sources: Iterable[str]) -> dict[str, bool]:
    """Whether each source's circuit is open, half-open included. Raises RedisError."""
    sources = tuple(sources)
    with redis.pipeline(transaction=False) as pipe:
        for source in sources:
            pipe.hexists(_key(source), "open_until")
        return dict(zip(sources, pipe.execute(), strict=True))


def _key(source: str) -> str:
    return f"circuit:{source}"
