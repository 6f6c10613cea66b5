"""Threads for steps that wait for a remote service, and wakeups of steps that wait for room at a source."""

import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Condition, Lock, Thread

import structlog

from app.shares import Shares

log = structlog.get_logger(__name__)

Work = Callable[[], None]


class WaitThreads:
    """Threads of their own for steps that mostly wait, so that Celery's pool is free for others.

    Their owners share them (`app.shares`): work that its owner's share has no thread for waits, and keeps no other
    owner's waiting. A thread starts only when it is needed.
    """

    def __init__(self, name: str, max_threads: int) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(max_threads, name)
        self._places = Shares(max_threads)
        self._waiting: dict[Hashable, deque[Work]] = {}
        self._lock = Lock()
        self.closed = False

    def submit(self, work: Work, owner: Hashable = None) -> None:
        """Runs the work in a thread, in this thread's context; drops it if the process stops before it begins.

        Raises RuntimeError once closed.
        """
        with self._lock:
            if self.closed:
                raise RuntimeError("the process is stopping")
            self._waiting.setdefault(owner, deque()).append(partial(copy_context().run, self._run, work, owner))
            self._start()

    def close(self) -> None:
        """Starts no more work, and waits for what is running."""
        with self._lock:
            self.closed = True
            self._waiting.clear()
        self._threads.shutdown()

    def _start(self) -> None:
        """Starts what there are threads for, one of each owner in turn."""
        started = True
        while started:
            started = False
            for owner, works in list(self._waiting.items()):
                if self._places.take(owner):
                    started = True
                    self._threads.submit(works.popleft())
                    if not works:
                        del self._waiting[owner]

    def _run(self, work: Work, owner: Hashable) -> None:
        try:
            if not self.closed:
                work()
        except Exception:  # Postgres is unavailable, and the sweep requeues the step; only this line shows the error
            log.exception(f"{self._name}_failed")
        finally:
            with self._lock:
                self._places.release(owner)
                self._start()


class Wakeups:
    """Runs work for a source at a given time: one thread, and one time per source, of which the soonest counts.

    A process that dies loses its wakeups; the sweep finds the steps that wait.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._due: dict[str, tuple[float, Work]] = {}
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closed = False

    def wake(self, source: str, seconds: float, work: Work) -> None:
        """Runs the work after so many seconds, unless some is due for the source earlier."""
        at = time.monotonic() + seconds
        with self._changed:
            if self._closed or (source in self._due and self._due[source][0] <= at):
                return
            self._due[source] = (at, work)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="wakeups", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Drops what is due, and everything that is added later."""
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
