"""Keeps a request open until a job has ended or changed, for as long as its `Prefer` header (RFC 7240) asks for.

Waiting for an end costs nothing until it comes. Waiting for any change means reading the job repeatedly, so there are
fewer slots for that. A client that disconnects frees its slot at once.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

from anyio import CancelScope, move_on_after
from starlette.requests import Request

from app.api.job_responses import JobReader, caller_has, etag_of
from app.api.tenant_slots import TenantSlots
from app.api.wakeups import JobWakeups
from app.jobs.snapshots import is_unfinished
from app.settings import LongPollingSettings

LONGEST_WAIT = 60

_CHARACTERS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_WORD = rf'(?:{_CHARACTERS}|"(?:[^"\\]|\\.)*")'
_PAIR = rf"({_CHARACTERS})(?:[ \t]*=[ \t]*({_WORD})?)?"
_PREFERENCE = re.compile(rf"{_PAIR}(?:[ \t]*;[ \t]*(?:{_PAIR})?)*[ \t]*")
_SECONDS = re.compile(r"[0-9]{1,9}")


class LongPolling:
    """Reads jobs, at once or when they have ended or changed."""

    def __init__(self, reader: JobReader, wakeups: JobWakeups, settings: LongPollingSettings) -> None:
        self.reader = reader
        self.watchers = TenantSlots(settings.watchers, settings.watchers_per_tenant)
        self._waiters = TenantSlots(settings.waiters, settings.waiters_per_tenant)
        self._wakeups = wakeups
        self._poll_every = settings.poll_every.total_seconds()

    async def for_end(
        self,
        request: Request,
        tenant_id: uuid.UUID,
        job_id: uuid.UUID,
        seconds: float,
        accepted: bytes | None = None,
    ) -> bytes | None:
        """The job's document when it has ended or the time is over; None where no slot is free.

        `accepted` is the document of a job that was enqueued since this task last waited for anything: its end cannot
        have been published yet, so it is read again only after a wake-up. Raises the errors of `JobReader.read`.
        """
        with self._waiters.take(tenant_id) as taken, self._wakeups.expected(job_id) as ended:
            if not taken:
                return None
            document = accepted or await self.reader.read(tenant_id, job_id)
            async with _time_limit(request, seconds):
                while is_unfinished(document) and not self.stopping:
                    await ended.wait()
                    # Postgres may have the end before the snapshot expires; the next query wakes this once more.
                    ended.clear()
                    document = await self.reader.read(tenant_id, job_id)
        if is_unfinished(document):
            return await self.reader.read(tenant_id, job_id)
        return document

    async def for_change(
        self, request: Request, tenant_id: uuid.UUID, job_id: uuid.UUID, seconds: float
    ) -> bytes | None:
        """Like `for_end`, but also when the document differs from the one that `If-None-Match` names."""
        with self.watchers.take(tenant_id) as taken, self._wakeups.expected(job_id) as ended:
            if not taken:
                return None
            document = await self.reader.read(tenant_id, job_id)
            async with _time_limit(request, seconds):
                while is_unfinished(document) and caller_has(request, etag_of(document)) and not self.stopping:
                    await self.pause(ended)
                    document = await self.reader.read(tenant_id, job_id)
            return document

    @property
    def stopping(self) -> bool:
        """Whether the process is about to stop; no request waits any longer then."""
        return self._wakeups.stopping

    def expected(self, job_id: uuid.UUID) -> AbstractContextManager[asyncio.Event]:
        """See `JobWakeups.expected`."""
        return self._wakeups.expected(job_id)

    async def pause(self, ended: asyncio.Event) -> None:
        """Returns when the job is to be read again for progress, or has ended."""
        with move_on_after(self._poll_every):
            await ended.wait()
        ended.clear()


@asynccontextmanager
async def _time_limit(request: Request, seconds: float) -> AsyncIterator[None]:
    """Leaves the block after so many seconds, and when the client has disconnected. The body must have been read."""
    with move_on_after(seconds) as scope:
        watch = asyncio.create_task(_cancel_when_disconnected(request, scope))
        try:
            yield
        finally:
            watch.cancel()


async def _cancel_when_disconnected(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


@dataclass(frozen=True, slots=True)
class Preferences:
    """How many seconds the caller prefers to wait for an end, and whether it prefers a 202 to nothing."""

    wait: int | None = None
    respond_async: bool = False


def read_preferences(headers: Iterable[str]) -> Preferences:
    """`wait` and `respond-async` of all `Prefer` headers of a request; a longer wait is cut to LONGEST_WAIT.

    As RFC 7240 has it, a preference is never an error: an unknown or malformed one is ignored, and of several the first
    counts.
    """
    given: dict[str, str] = {}
    for header in headers:
        for name, value in _preferences(header):
            given.setdefault(name, value)
    return Preferences(wait=_wait(given.get("wait")), respond_async=given.get("respond-async") == "")


def _preferences(header: str) -> Iterable[tuple[str, str]]:
    """Name and value of each, up to the first that is malformed. No value is the empty one."""
    at = 0
    while at < len(header):
        if header[at] in ", \t":  # a list may have empty members
            at += 1
            continue
        found = _PREFERENCE.match(header, at)
        if found is None or (found.end() < len(header) and header[found.end()] != ","):
            return
        yield found[1].lower(), _unquoted(found[2] or "")
        at = found.end()


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def _wait(value: str | None) -> int | None:
    if value == "":
        return LONGEST_WAIT
    if value is None or not _SECONDS.fullmatch(value):
        return None
    return min(int(value), LONGEST_WAIT) or None
