"""The thread in which a process encodes, stores and reports a batch while it generates the next one."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

import structlog

log = structlog.get_logger(__name__)

# Batches whose images may be in memory besides the one that is being generated.
BACKLOG = 2


class BatchWriter:
    """Runs one piece of work after another; nothing starts before the first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "batch-writer")
        self._pending: deque[Future[None]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        """Runs the work in this call's log context and trace; waits first where too much is pending."""
        while len(self._pending) >= BACKLOG:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(copy_context().run, _run, work))

    def flush(self) -> None:
        """Returns when all work is done."""
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """Does the remaining work, and ends the thread."""
        self._thread.shutdown()


def _run(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:  # Postgres or the store is unavailable: the leases expire, and the sweep requeues the rows
        log.exception("batch_not_saved")
