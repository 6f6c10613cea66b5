"""A small process that ends the process groups of a supervisor that was killed.

The parent-death signal ends the children of a killed supervisor, not their children. The reaper is sent every
process group through a pipe. When the pipe closes, it stops the groups that are still registered, as the
supervisor would have done. Until then it also holds the lock of the state directory, so that a new start
cannot meet processes of an old one. The lower half runs as `python -I -S reaper.py`: standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


class Reaper:
    """The supervisor's end of the pipe."""

    def __init__(self, lock_fd: int) -> None:
        self._lock_fd = lock_fd
        self._groups: dict[int, str] = {}
        self._process = self._spawn()

    @property
    def pid(self) -> int:
        """The pid of the reaper's process."""
        return self._process.pid

    def register(self, group: int, stop_signal: int, grace: float) -> None:
        """Register a process group to end after our death: the signal to its leader, after the grace SIGKILL to all."""
        self._groups[group] = f"+ {group} {stop_signal} {grace}\n"
        self._send_line(self._groups[group])

    def unregister(self, group: int) -> None:
        """This group has ended."""
        if self._groups.pop(group, None):
            self._send_line(f"- {group}\n")

    def close(self) -> None:
        """Close the pipe: the reaper ends what is still registered, and exits."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE, text=True, start_new_session=True, pass_fds=(self._lock_fd,), cwd="/",
        )  # fmt: skip

    def _send_line(self, line: str) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(line)
            pipe.flush()
        except BrokenPipeError:  # the reaper was killed: a new one gets the whole list
            with suppress(BrokenPipeError):
                pipe.close()
            self._process.wait()
            self._process = self._spawn()
            for known in list(self._groups.values()):
                self._send_line(known)


def reap() -> None:
    """Read the pipe to its end, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, tuple[int, float]] = {}
    for line in sys.stdin:
        sign, group, *rest = line.split()
        if sign == "+":
            groups[int(group)] = (int(rest[0]), float(rest[1]))
        else:
            groups.pop(int(group), None)
    for group, (stop_signal, _) in groups.items():
        _send(os.kill, group, stop_signal)
    start = time.monotonic()
    while groups:
        time.sleep(0.05)
        living = _living_groups(groups)
        for group, (_, grace) in list(groups.items()):
            if group not in living:
                del groups[group]
            elif time.monotonic() - start > grace:
                _send(os.killpg, group, signal.SIGKILL)


def _living_groups(groups: Iterable[int]) -> set[int]:
    """Those of the groups with a member that is not a zombie: a container may have no init that reaps."""
    if sys.platform != "linux":
        return {group for group in groups if _send(os.killpg, group, 0)}
    living = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # gone in between
        if state not in "ZX":
            living.add(int(group))
    return living.intersection(groups)


def _send(how: Callable[[int, int], None], target: int, number: int) -> bool:
    try:
        how(target, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    reap()
