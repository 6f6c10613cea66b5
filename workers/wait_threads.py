"""Threads of their own for steps that wait for somebody else, while the pool has other steps to do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import structlog

log = structlog.get_logger(__name__)


class WaitThreads:
    """They mostly wait; a thread exists only once it is needed."""

    def __init__(self, name: str, at_once: int) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(at_once, name)
        self._closed = False

    def __call__(self, work: Callable[[], None]) -> None:
        """Has the work done in a thread, in this one's context; forgets it if the process stops before it begins."""
        self._threads.submit(copy_context().run, self._do, work)

    def close(self) -> None:
        """Begins nothing more, and waits for what is under way."""
        self._closed = True
        self._threads.shutdown()

    def _do(self, work: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            work()
        except Exception:  # Postgres is unavailable; the sweep hands the step on. Nobody else would see the error
            log.exception(f"{self._name}_failed")
