"""The loop that keeps processes alive, in a thread of its own, so that the main one can wait and receive signals.

Processes are started in layers (servers, then the service); a layer is up when all of it is ready, and layers
stop in reverse.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from devstack.errors import StartFailed
from devstack.process import Backoff, ProcessSpec, SupervisedProcess
from devstack.reaper import Reaper

TICK_SECONDS = 0.03
PATIENCE = 300.0  # seconds; a process that dies repeatedly fails earlier
MAX_EARLY_DEATHS = 5  # starts of a process that has never been ready

logger = logging.getLogger(__name__)


class Supervisor:
    """Starts processes, restarts those that die, stops them all.

    `register` is a JSON file with the pid of every process.
    """

    def __init__(self, lock_fd: int, register: Path) -> None:
        self._reaper = Reaper(lock_fd)
        self._register = register
        self._registered = ""
        self._lock = threading.RLock()
        self._layers: list[list[SupervisedProcess]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, specs: Sequence[ProcessSpec], patience: float = PATIENCE) -> None:
        """Start one layer and wait until every process in it is ready. Raises `StartFailed`."""
        layer = [SupervisedProcess(spec, self._reaper, Backoff()) for spec in specs]
        with self._lock:
            self._layers.append(layer)
        deadline = time.monotonic() + patience
        for process in layer:
            while not process.ready:
                if process.starts > MAX_EARLY_DEATHS:
                    raise StartFailed(process.spec.name, f"it {process.last_end}", process.spec.log)
                if time.monotonic() > deadline:
                    why = f"it was not ready within {patience:.0f} s"
                    raise StartFailed(process.spec.name, why, process.spec.log)
                time.sleep(TICK_SECONDS)

    def check(self) -> None:
        """Raise `StartFailed` for a process that dies again and again."""
        with self._lock:
            processes = [process for layer in self._layers for process in layer]
        for process in processes:
            if process.starts > MAX_EARLY_DEATHS:
                raise StartFailed(process.spec.name, f"it {process.last_end}", process.spec.log)

    def pid(self, name: str) -> int | None:
        """The pid of a process by its name, None while it is down."""
        return self._find(name).pid

    def starts(self, name: str) -> int:
        """How often a process has been started: one more than it died."""
        return self._find(name).starts

    def names(self) -> list[str]:
        """All processes, in the order they were started."""
        with self._lock:
            return [process.spec.name for layer in self._layers for process in layer]

    def stop(self) -> None:
        """Stop everything, last layer first, and the reaper. May be called twice."""
        self._stopping.set()
        self._thread.join()
        self._reaper.close()

    def _find(self, name: str) -> SupervisedProcess:
        with self._lock:
            return next(process for layer in self._layers for process in layer if process.spec.name == name)

    def _loop(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            with self._lock:
                layers = list(self._layers)
            for process in (process for layer in layers for process in layer):
                try:
                    process.tick(time.monotonic())
                except Exception:
                    logger.exception("watching %s failed", process.spec.name)  # the others must still be watched
            self._write_register()
        for layer in reversed(self._layers):
            _stop_layer(layer)
        self._write_register()

    def _write_register(self) -> None:
        with self._lock:
            processes = [process for layer in self._layers for process in layer]
        known = {p.spec.name: {"pid": p.pid, "starts": p.starts, "ready": p.ready} for p in processes}
        text = json.dumps(known, indent=2)
        if text != self._registered:
            draft = self._register.with_suffix(".new")
            draft.write_text(text)
            draft.replace(self._register)
            self._registered = text


def _stop_layer(layer: Sequence[SupervisedProcess]) -> None:
    for process in layer:
        process.request_stop()
    while layer := [process for process in layer if not process.stopped(time.monotonic())]:
        time.sleep(TICK_SECONDS)
