"""Connections whose every wait ends with the time limit of the current request; httpcore's own limits are per read.

Without it, a server that sends a byte now and then could keep a request open forever. All HTTP clients use it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import httpcore

# One TLS record. Writing in small parts allows to stop in time even if each part makes progress.
_WRITE_BYTES = 16 * 1024

_end: ContextVar[float] = ContextVar("end")


@contextmanager
def time_limit(limit: timedelta) -> Iterator[None]:
    """Within it, everything that this thread sends or receives through TimedStream takes at most `limit`."""
    token = _end.set(time.monotonic() + limit.total_seconds())
    try:
        yield
    finally:
        _end.reset(token)


def time_left() -> float:
    """The seconds left, above zero. Raises httpcore.ReadTimeout when the time is over."""
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole request is over")
    return left


class TimedStream(httpcore.NetworkStream):
    """A connection that never waits longer than the time limit of this thread."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read at most `max_bytes`."""
        return self._stream.read(max_bytes, time_left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write the whole buffer."""
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._stream.write(buffer[start : start + _WRITE_BYTES], time_left())

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Start TLS, with the same time limit."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, time_left()))

    def get_extra_info(self, info: str) -> Any:
        """As httpcore defines it."""
        return self._stream.get_extra_info(info)
