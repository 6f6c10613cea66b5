"""What fetching images needs of a process: threads, the door out, and the children that decode.

Threads of its own, because an address may take its time while the pool has ranking and the sweep to do.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from threading import Event, Lock, Thread

import anyio
import structlog
from anyio.from_thread import BlockingPortal

from app.intake.decode import Decoded
from app.intake.decoders import Decoders
from app.intake.spool import remove_abandoned
from app.metrics import DECODE_DURATION
from app.outbound import Outbound
from app.settings import Settings

log = structlog.get_logger(__name__)

# They mostly wait. A thread exists only once it is needed.
_FETCHES_AT_ONCE = 32


class Fetcher:
    """One per process; nothing starts before its first use."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.intake.max_bytes
        self._outbound = Outbound(settings.outbound)
        self._decoders = Decoders(settings.intake)
        self._threads = ThreadPoolExecutor(_FETCHES_AT_ONCE, "fetch")
        self._portal: BlockingPortal | None = None
        self._starting = Lock()
        self._closed = False

    def soon(self, work: Callable[[], None]) -> None:
        """Has the work done in a thread, in this one's context; forgets it if the process stops before it begins."""
        self._threads.submit(copy_context().run, self._do, work)

    def fetch(self, url: str, upload: Path, canonical: Path) -> Decoded:
        """Writes what the address holds, and its canonical image, to these files.

        Raises what `Outbound.fetch` and `Decoders.decode` raise.
        """
        with upload.open("wb") as file:
            self._outbound.fetch(url, file, max_bytes=self._max_bytes)
        with DECODE_DURATION.time():
            return self._loop().call(self._decoders.decode, upload, canonical)

    def close(self) -> None:
        """Begins nothing more, waits for what is under way and closes its connections."""
        self._closed = True
        self._threads.shutdown()
        if self._portal is not None:
            self._portal.call(self._portal.stop)
            self._thread.join()
        self._outbound.close()

    def _do(self, work: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            work()
        except Exception:  # Postgres is away; the sweep hands the step on. Nobody else would see the error
            log.exception("fetch_failed")

    def _loop(self) -> BlockingPortal:
        """The event loop that the children belong to, in a daemon thread."""
        with self._starting:
            if self._portal is None:
                remove_abandoned()
                started = Event()
                self._thread = Thread(target=anyio.run, args=(self._serve, started), name="decoders", daemon=True)
                self._thread.start()
                started.wait()
            assert self._portal is not None
            return self._portal

    async def _serve(self, started: Event) -> None:
        async with BlockingPortal() as portal:
            self._portal = portal
            started.set()
            await portal.sleep_until_stopped()
