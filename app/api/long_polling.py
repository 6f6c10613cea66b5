"""Keeping a caller's connection open until a job has ended or changed, or the caller's patience is over.

Waiting for an end costs nothing until it comes; noticing every change means looking, so there is room for fewer of
those. A caller that goes away frees its place at once.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

from anyio import CancelScope, move_on_after
from starlette.requests import Request

from app.api.answers import Answers, caller_has, etag_of
from app.api.endings import Endings
from app.documents import is_unfinished
from app.settings import WaitingSettings


class Places:
    """A number of places that can be taken."""

    def __init__(self, total: int) -> None:
        self._free = total

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Whether there was a place; it is held until the block is left."""
        taken = self._free > 0
        self._free -= taken
        try:
            yield taken
        finally:
            self._free += taken


class LongPolling:
    """Waits on behalf of callers."""

    def __init__(self, answers: Answers, endings: Endings, settings: WaitingSettings) -> None:
        self.answers = answers
        self.watchers = Places(settings.watchers)
        self._waiters = Places(settings.waiters)
        self._endings = endings
        self._look_every = settings.look_every.total_seconds()

    async def for_end(
        self,
        request: Request,
        tenant_id: uuid.UUID,
        job_id: uuid.UUID,
        seconds: float,
        accepted: bytes | None = None,
    ) -> bytes | None:
        """The job's document as soon as it has ended, or as it stands when the time is over; None: no place is free.

        `accepted` is that of a job whose workers were told since this task last waited for anything: nobody can have
        heard of its end yet, and it is not looked at again until somebody does. Raises what reading it raises.
        """
        with self._waiters.take() as placed, self._endings.expected(job_id) as ended:
            if not placed:
                return None
            document = accepted or await self.answers.read(tenant_id, job_id)
            async with _patience(request, seconds):
                while is_unfinished(document) and not self.stopping:
                    await ended.wait()
                    # Postgres may know of the end before the snapshot expires; it then says so once more.
                    ended.clear()
                    document = await self.answers.read(tenant_id, job_id)
        if is_unfinished(document):
            return await self.answers.read(tenant_id, job_id)
        return document

    async def for_change(
        self, request: Request, tenant_id: uuid.UUID, job_id: uuid.UUID, seconds: float
    ) -> bytes | None:
        """Like `for_end`, but already when the document is another than `If-None-Match` says the caller has."""
        with self.watchers.take() as placed, self._endings.expected(job_id) as ended:
            if not placed:
                return None
            document = await self.answers.read(tenant_id, job_id)
            async with _patience(request, seconds):
                while is_unfinished(document) and caller_has(request, etag_of(document)) and not self.stopping:
                    await self.pause(ended)
                    document = await self.answers.read(tenant_id, job_id)
            return document

    @property
    def stopping(self) -> bool:
        """Whether the process is about to stop; nobody waits any longer then."""
        return self._endings.stopping

    def expected(self, job_id: uuid.UUID) -> AbstractContextManager[asyncio.Event]:
        """See `Endings.expected`."""
        return self._endings.expected(job_id)

    async def pause(self, ended: asyncio.Event) -> None:
        """Until it is time to look for progress again, or the job has ended."""
        with move_on_after(self._look_every):
            await ended.wait()
        ended.clear()


@asynccontextmanager
async def _patience(request: Request, seconds: float) -> AsyncIterator[None]:
    """Cuts the block short after so many seconds, and when the caller has gone. The body must have been read."""
    with move_on_after(seconds) as scope:
        watch = asyncio.create_task(_cancel_when_gone(request, scope))
        try:
            yield
        finally:
            watch.cancel()


async def _cancel_when_gone(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
