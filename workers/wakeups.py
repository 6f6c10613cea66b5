"""Wakes those who wait for a source, when there may be room for them: one thread, and one time per source.

What is due twice is done once. A process that dies takes its times along; the sweep finds who waits.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Condition, Thread

Work = Callable[[], None]


class Wakeups:
    """Has work done in the executor's threads when its time has come; per source the soonest time counts."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._due: dict[str, tuple[float, Work]] = {}
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closed = False

    def wake(self, source: str, seconds: float, work: Work) -> None:
        """Has the work done after so many seconds, unless some for the source is due before."""
        at = time.monotonic() + seconds
        with self._changed:
            if self._closed or (source in self._due and self._due[source][0] <= at):
                return
            self._due[source] = (at, work)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="waiting", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Forgets what is due, and everything to come."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for source in [source for source, (at, _) in self._due.items() if at <= now]:
                    self._executor.submit(self._due.pop(source)[1])
                soonest = min((at for at, _ in self._due.values()), default=None)
                self._changed.wait(None if soonest is None else soonest - now)
