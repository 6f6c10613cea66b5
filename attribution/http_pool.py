"""A pool of HTTP connections whose every wait ends with the time limit of the current request. All clients use it.

httpcore's own limits are per read: a server that sends a byte now and then could keep a request open forever. httpx's
client, one layer above, has cookies, redirects, proxies from the environment and content decoding, which would all have
to be turned off.
"""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import httpcore
import httpx

# One TLS record. Writing in small parts allows to stop in time even if each part makes progress.
_WRITE_BYTES = 16 * 1024
_IDLE_SECONDS = 15.0

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


class TimedBackend(httpcore.NetworkBackend):
    """Connects as httpcore does, in at most `connect_seconds`, and never beyond the time limit of this thread."""

    def __init__(self, connect_seconds: float) -> None:
        self._connect_seconds = connect_seconds
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection. Raises ConnectError or ConnectTimeout."""
        try:
            left = min(self._connect_seconds, time_left())
        except httpcore.ReadTimeout as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        return TimedStream(self._network.connect_tcp(host, port, timeout=left, socket_options=socket_options))

    def close(self) -> None:
        """Releases what the backend holds."""


class HttpPool:
    """The connections of one process, shared by its threads; each request needs a `time_limit` around it."""

    def __init__(self, backend: TimedBackend, idle: int, tls: ssl.SSLContext | None = None) -> None:
        """`idle` is how many connections without a request are kept open, for a while."""
        self._backend = backend
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=None,  # as many as there are threads; a slow host must not keep others waiting
            max_keepalive_connections=idle,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=backend,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()
        self._backend.close()

    @contextmanager
    def stream(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Iterator[httpcore.Response]:
        """Sends a request; its response, whose body was not read yet. Redirects are not followed."""
        parsed = httpx.URL(url)
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        sent = {
            "accept-encoding": "identity",  # a few compressed kilobytes can be gigabytes; images are compressed already
            **{name.lower(): value for name, value in headers.items()},
            "host": parsed.netloc.decode("ascii"),
        }
        with self._pool.stream(method, target, headers=list(sent.items()), content=content) as response:
            yield response


def response_headers(response: httpcore.Response) -> dict[str, str]:
    """By name in lower case."""
    return {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}


def is_compressed(headers: Mapping[str, str]) -> bool:
    """Whether a body is compressed although none was requested."""
    return headers.get("content-encoding", "identity").lower() != "identity"
