"""Waiting for something to happen, in place of sleeping for as long as it may take."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(holds: Callable[[], Found | None], seconds: float = 120, every: float = 0.02) -> Found:
    """The first true value; generous, since it only waits that long on failure. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(every)
    return found
