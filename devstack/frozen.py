"""Freezes a process with all its children, as a host that swaps, or a stopped virtual machine, does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Nothing of the process runs within the block: its connections stay open, and are not answered."""
    stopped: list[int] = []
    try:
        # Parents first: a stopped one starts no more children.
        waiting = [pid]
        while waiting:
            each = waiting.pop(0)
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
                stopped.append(each)
                waiting += _children(each)
        yield
    finally:
        for each in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return []
