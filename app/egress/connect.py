"""Where the client may go: checks URLs, resolves names, and connects to allowed addresses, within the time limit.

A name is resolved once per connection, and the checked address itself is connected to, so that a different DNS response
a moment later changes nothing. Above it httpcore speaks TLS (with the name, not the address) and HTTP.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import httpx
import structlog

from app.egress.look_ups import LookUps, Resolver
from app.errors import AddressRefused
from app.settings import EgressSettings
from attribution.http_pool import TimedBackend, time_left

log = structlog.get_logger(__name__)

_GLOBAL_UNICAST = ip_network("2000::/3")
# Ranges without public servers that Python 3.11's `is_global` accepts.
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 was Oracle Cloud's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's platform service, reachable from every virtual machine there
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo, which carries an IPv4 address inside, and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


class AddressPolicy:
    """Decides which addresses may be connected to: public ones, and those that the operator has listed."""

    def __init__(self, allow: Iterable[str]) -> None:
        """`allow` lists host names, addresses and networks (CIDR) that need not be public."""
        networks = []
        names = set()
        for entry in allow:
            try:
                networks.append(ip_network(entry, strict=False))
            except ValueError:
                names.add(entry.lower())
        self._networks = tuple(networks)
        self._names = frozenset(names)

    def allows(self, host: str, address: str) -> bool:
        """Whether `address`, an IP address in text that `host` resolved to, may be connected to."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return host in self._names or any(ip in network for network in self._networks) or is_public(ip)


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether an address is public.

    IPv6 outside of global unicast is refused as a whole: loopback, link-local, site-local and unique local addresses,
    multicast, and the forms that carry an IPv4 address inside (mapped, compatible, NAT64).
    """
    if isinstance(ip, IPv6Address) and (ip not in _GLOBAL_UNICAST or ip.scope_id is not None):
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)


class PolicyBackend(TimedBackend):
    """Connects to addresses that the policy allows."""

    def __init__(self, policy: AddressPolicy, resolve: Resolver, connect_timeout: timedelta) -> None:
        super().__init__(connect_timeout.total_seconds())
        self._policy = policy
        self._look_ups = LookUps(resolve)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first allowed address that accepts one. Raises ConnectError or TimeoutException."""
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in self._resolve_allowed(host, port):
            try:
                stream = super().connect_tcp(address, port, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            _check_peer(stream, host, address)
            return stream
        raise failure

    def _resolve_allowed(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a name. Raises if one of them is not allowed: such a name is a mistake or an attack."""
        addresses = self._look_ups.addresses(host, port, time_left())
        for address in addresses:
            if not self._policy.allows(host, address):
                raise _refused(host, address)
        return addresses


def _check_peer(stream: httpcore.NetworkStream, host: str, address: str) -> None:
    """The peer must be the checked address, whatever lies between this process and the network."""
    try:
        peer = str(stream.get_extra_info("server_addr")[0])
    except OSError as error:
        stream.close()
        raise httpcore.ConnectError("the connection was closed at once") from error
    if ip_address(peer) != ip_address(address):
        stream.close()
        raise _refused(host, peer)


def _refused(host: str, address: str) -> httpcore.ConnectError:
    # For the operator only. The caller gets the error of a dead host.
    log.warning("address_refused", host=host, address=address)
    return httpcore.ConnectError("the address is not a public one")


# Signed URLs of object stores come close to half of this.
_MAX_LENGTH = 4_096
_MAX_HOST = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# For browsers and getaddrinfo a host whose last label is a number is an IPv4 address in some notation.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Lower ones belong to mail, shells and the like, whose protocols a request's body could imitate.
_LOW_PORTS = (80, 443)
_FIRST_HIGH_PORT = 1_024


def check_url(url: str, settings: EgressSettings) -> str:
    """The URL in its normal form, without blanks around it and fragment. Resolves nothing. Raises AddressRefused."""
    url = url.strip()  # copying an address takes a blank or a line break with it
    # Spaces, line breaks, backslashes and invisible characters: parsers disagree about all of them.
    if not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("The address contains a space, a backslash or an invisible character; encode it as %XX.")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("The address is not a valid URL.") from error
    schemes = ("https",) if settings.https_only else ("http", "https")
    if parsed.scheme not in schemes:
        raise AddressRefused(f"The address must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if parsed.userinfo:
        raise AddressRefused("The address must not contain a user name or a password.")
    if parsed.port is not None and not (parsed.port in _LOW_PORTS or _FIRST_HIGH_PORT <= parsed.port <= 65_535):
        raise AddressRefused("The address must use port 80, port 443, or one from 1024 to 65535.")
    host = _check_host(parsed.raw_host.decode("ascii").removesuffix("."), settings)
    normal = str(parsed.copy_with(host=host, fragment=None))
    if len(normal) > _MAX_LENGTH:
        raise AddressRefused(f"The address is longer than {_MAX_LENGTH:,} characters.")
    return normal


def join_url(base: str, location: str) -> str:
    """The target of a redirect, unchecked. Raises AddressRefused."""
    try:
        return str(httpx.URL(base).join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise AddressRefused("The address is not a valid URL.") from error


def _check_host(host: str, settings: EgressSettings) -> str:
    if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            normal = str(ip_address(host))
        except ValueError as error:
            raise AddressRefused("The IP address in the address must be in its standard notation.") from error
        if not AddressPolicy(settings.allow).allows(normal, normal):
            raise AddressRefused("The address must be a public one.")
        return normal
    if len(host) > _MAX_HOST or not _NAME.fullmatch(host):
        raise AddressRefused("The address has no valid host name.")
    return host
