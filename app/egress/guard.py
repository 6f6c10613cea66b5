"""Decides which addresses may be connected to: the public ones, and those that the operator has listed."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_GLOBAL_UNICAST = ip_network("2000::/3")
# What Python 3.11's `is_global` lets pass although nobody's public server is there.
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 was Oracle Cloud's metadata service
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's platform service, seen from every virtual machine there
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo, which carries an IPv4 address inside, and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


class Guard:
    """Judges an address that a host name resolved to."""

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
        """Whether we may connect to `address`, an IP address in text, for the sake of `host`."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return host in self._names or any(ip in network for network in self._networks) or is_public(ip)


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a host's on the public internet.

    IPv6 outside of global unicast is refused as a whole: loopback, link-local, site-local and unique local addresses,
    multicast, and the forms that carry an IPv4 address inside (mapped, compatible, NAT64).
    """
    if isinstance(ip, IPv6Address) and (ip not in _GLOBAL_UNICAST or ip.scope_id is not None):
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)
