"""Resolves and connects for the client: to judged addresses only, and never beyond the time that a request was given.

A name is resolved once per connection and the judged address itself is connected to, so that DNS which answers
differently a moment later changes nothing. Above it httpcore speaks TLS (with the name, not the address) and HTTP.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_address

import httpcore
import structlog

from app.egress.guard import Guard
from attribution.time_limit import TimedStream, time_left

log = structlog.get_logger(__name__)

# (host, port) to IP addresses in text, in the order in which they shall be tried. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

_LOOKUPS = 32


def system_resolver(host: str, port: int) -> Sequence[str]:
    """What the operating system answers. Raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to addresses that the guard allows."""

    def __init__(self, guard: Guard, resolve: Resolver, connect_timeout: timedelta) -> None:
        self._guard = guard
        self._resolve = resolve
        self._connect_timeout = connect_timeout.total_seconds()
        self._network = httpcore.SyncBackend()
        # In threads, because getaddrinfo takes no timeout.
        self._lookups = ThreadPoolExecutor(_LOOKUPS, "lookup")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first judged address that answers. Raises httpcore's ConnectError or TimeoutException."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in self._judged(host, port):
            try:
                stream = self._network.connect_tcp(
                    address, port, timeout=min(self._connect_timeout, time_left()), socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            _check_peer(stream, host, address)
            return TimedStream(stream)
        raise failure

    def close(self) -> None:
        """Waits for no look-up that is under way."""
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def _judged(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name; none of them if one is not public, for such a name is a mistake or a trick."""
        try:
            addresses = self._lookups.submit(self._resolve, host, port).result(time_left())
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore.ConnectError(f"the name was not resolved: {error}") from error
        for address in addresses:
            if not self._guard.allows(host, address):
                raise _refused(host, address)
        return addresses


def _check_peer(stream: httpcore.NetworkStream, host: str, address: str) -> None:
    """What we are connected to must be what was judged, whatever stands between us and the network."""
    try:
        peer = str(stream.get_extra_info("server_addr")[0])
    except OSError as error:
        stream.close()
        raise httpcore.ConnectError("the connection was closed at once") from error
    if ip_address(peer) != ip_address(address):
        stream.close()
        raise _refused(host, peer)


def _refused(host: str, address: str) -> httpcore.ConnectError:
    # For the operator only. The caller is told what a dead host would have it told.
    log.warning("address_refused", host=host, address=address)
    return httpcore.ConnectError("the address is not a public one")
