"""What fetching images needs of a process: threads and the door out.

Threads of its own, because an address may take its time while the pool has ranking and the sweep to do.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import structlog

from app.intake.decode import Decoded
from app.outbound import Outbound
from app.settings import Settings
from workers.children import Children

log = structlog.get_logger(__name__)

# They mostly wait. A thread exists only once it is needed.
_FETCHES_AT_ONCE = 32


class Fetcher:
    """One per process; nothing starts before its first use."""

    def __init__(self, settings: Settings, children: Children) -> None:
        self._max_bytes = settings.intake.max_bytes
        self._outbound = Outbound(settings.outbound)
        self._children = children
        self._threads = ThreadPoolExecutor(_FETCHES_AT_ONCE, "fetch")
        self._closed = False

    def soon(self, work: Callable[[], None]) -> None:
        """Has the work done in a thread, in this one's context; forgets it if the process stops before it begins."""
        self._threads.submit(copy_context().run, self._do, work)

    def fetch(self, url: str, upload: Path) -> Decoded:
        """Writes what the address holds to a file. Raises what `Outbound.fetch` and `Decoders.inspect` raise."""
        with upload.open("wb") as file:
            self._outbound.fetch(url, file, max_bytes=self._max_bytes)
        return self._children.inspect(upload)

    def close(self) -> None:
        """Begins nothing more, waits for what is under way and closes its connections."""
        self._closed = True
        self._threads.shutdown()
        self._outbound.close()

    def _do(self, work: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            work()
        except Exception:  # Postgres is away; the sweep hands the step on. Nobody else would see the error
            log.exception("fetch_failed")
