"""Addresses that aim at the inside: none reaches the canary, a server that listens on loopback.

Every road leads to it here: whatever address is connected to, the connection arrives at the canary, which counts it.
So nothing but the guard keeps it silent.
"""

import io
import socket
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest

from app.egress import EgressClient
from app.errors import AddressRefused, AddressUnavailable, FetchFailed, ServiceError
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Site, reply

PUBLIC = "93.184.215.14"

PRIVATE = {
    "loopback": "127.0.0.1",
    "loopback, another": "127.8.9.10",
    "this host": "0.0.0.0",
    "this network": "0.1.2.3",
    "private, ten": "10.0.0.1",
    "private, twelve bits": "172.16.5.4",
    "private, sixteen bits": "192.168.1.1",
    "carrier": "100.64.0.1",
    "metadata": "169.254.169.254",
    "metadata, Alibaba": "100.100.100.200",
    "metadata, Oracle": "192.0.0.192",
    "metadata, Azure": "168.63.129.16",
    "benchmarking": "198.18.0.1",
    "documentation": "192.0.2.1",
    "6to4 relay": "192.88.99.1",
    "multicast": "224.0.0.1",
    "multicast, scoped": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 loopback": "::1",
    "IPv6 unspecified": "::",
    "IPv6 mapped": "::ffff:127.0.0.1",
    "IPv6 mapped, hexadecimal": "::ffff:7f00:1",
    "IPv6 mapped, of a public one": "::ffff:93.184.215.14",
    "IPv6 translated": "::ffff:0:127.0.0.1",
    "IPv6 compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64, local": "64:ff9b:1::7f00:1",
    "6to4": "2002:7f00:1::1",
    "Teredo": "2001:0:7f00:1::80ff:fffe",
    "ORCHID": "2001:20::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 link-local, scoped": "fe80::1%lo",
    "IPv6 public, scoped": "2606:2800:21f::1%lo",
    "IPv6 site-local": "fec0::1",
    "IPv6 unique local": "fd12:3456::1",
    "IPv6 metadata": "fd00:ec2::254",
    "IPv6 multicast": "ff02::1",
    "IPv6 multicast, global": "ff0e::1",
    "IPv6 discard": "100::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation, new": "3fff::1",
}

NAMES = [
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://ip6-localhost:PORT/",
    "http://127.0.0.1.nip.io:PORT/",
    "http://xn--bcher-kva.example:PORT/",
    "http://bücher.example:PORT/",
]

FORMS = [
    # Other notations of 127.0.0.1, which getaddrinfo understands.
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7F.0x0.0x0.0x1:PORT/",
    "http://127.0.0.0x1:PORT/",
    "http://127.0x:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.1:PORT/",
    "http://127.000.000.001:PORT/",
    "http://4294967296:PORT/",
    "http://0:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.0.0.1..:PORT/",
    # IPv6, written oddly.
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::ffff:0x7f.1]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[127.0.0.1]:PORT/",
    "http://[v1.127001]:PORT/",
    "http://[::1:PORT/",
    "http://::1:PORT/",
    "http://[::1].example:PORT/",
    # Characters that look or count as others.
    "http://\uff11\uff12\uff17.0.0.1:PORT/",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:PORT/",
    "http://\u0661\u0662\u0667.0.0.1:PORT/",
    "http://127\u30020\u30020\u30021:PORT/",
    "http://127\uff0e0\uff0e0\uff0e1:PORT/",
    "http://\uff4cocalhost:PORT/",
    "http://local\u200bhost:PORT/",
    "http://local\u00adhost:PORT/",
    "http://127.0.0.1\u2028:PORT/",
    "http://\u202e127.0.0.1:PORT/",
    "http://\ud800.example:PORT/",
    "http://127.0.0.1\uff0f@93.184.215.14:PORT/",
    # Percent-encoded hosts.
    "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "http://%6cocalhost:PORT/",
    "http://127.0.0.1%00.example:PORT/",
    "http://127.0.0.1%2f.example:PORT/",
    "http://127.0.0.1%23@93.184.215.14:PORT/",
    # User names.
    "http://good.example@127.0.0.1:PORT/",
    "http://good.example:80@127.0.0.1:PORT/",
    "http://a@b@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@good.example/",
    "http://:@127.0.0.1:PORT/",
    "http://good.example%40127.0.0.1:PORT/",
    "http://user:password@good.example:PORT/",
    # Spaces, backslashes, control characters.
    "http://127.0.0.1:PORT\\@good.example/",
    "http:\\\\127.0.0.1:PORT/",
    "http:/\\127.0.0.1:PORT/",
    "http://good.example\\.127.0.0.1:PORT/",
    "http://127.0.0.1\t:PORT/",
    "ht\ntp://127.0.0.1:PORT/",
    " http://127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: good.example\r\n\r\n",
    "http://good.example:PORT/\r\nx-injected: 1",
    "http://good.example:PORT/\x00",
    "http://good.example:PORT/\x7f",
    # Fragments and queries that hide the host.
    "http://127.0.0.1:PORT#@good.example/",
    "http://127.0.0.1:PORT?@good.example/",
    "http://127.0.0.1:PORT/@good.example",
    # Hosts that are none.
    "",
    "http://",
    "http:///",
    "http://:PORT/",
    "http:127.0.0.1:PORT",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "/etc/passwd",
    "http://.:PORT/",
    "http://.localhost:PORT/",
    "http://a..b:PORT/",
    "http://-a.example:PORT/",
    "http://a,b:PORT/",
    "http://*:PORT/",
    f"http://{'a' * 64}.example:PORT/",
    f"http://{'a.' * 127}example:PORT/",
    f"http://good.example:PORT/{'a' * 5_000}",
    # Other schemes.
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_GET",
    "dict://127.0.0.1:PORT/d",
    "ldap://127.0.0.1:PORT/",
    "ws://127.0.0.1:PORT/",
    "unix:/run/docker.sock",
    "jar:http://127.0.0.1:PORT!/",
    "url:http://127.0.0.1:PORT/",
    "javascript:alert(1)",
    "data:image/png;base64,AAAA",
    # Ports.
    "http://good.example:0/",
    "http://good.example:22/",
    "http://good.example:25/",
    "http://good.example:65536/",
    "http://good.example:-1/",
    "http://good.example:port/",
]


@dataclass(frozen=True, slots=True)
class Canary:
    """The server behind all connections, and the addresses that were connected to."""

    site: Site
    targets: list[tuple[str, int]]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.site.port

    @property
    def silent(self) -> bool:
        """Whether no lookup and no connection was made."""
        return not self.targets and not self.site.connections


@pytest.fixture
def canary(site: Site, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """Connects to the site instead of the requested address."""
    canary = Canary(site, [])
    connect = socket.create_connection

    def detour(address: tuple[str, int], *rest: Any, **named: Any) -> socket.socket:
        canary.targets.append(address)
        return connect(("127.0.0.1", site.port), *rest, **named)

    monkeypatch.setattr(socket, "create_connection", detour)
    return canary


def attempt(client: EgressClient, url: str) -> list[ServiceError]:
    """The outcome of fetching and of posting."""
    with pytest.raises(ServiceError) as fetching:
        client.fetch(url, io.BytesIO(), max_bytes=1_000)
    with pytest.raises(ServiceError) as posting:
        client.post(url, b"{}", {}, timedelta(seconds=5))
    return [fetching.value, posting.value]


def to_loopback(host: str, port: int) -> list[str]:
    """A resolver that knows every name."""
    return ["127.0.0.1"]


@pytest.mark.parametrize("form", FORMS)
def test_no_notation_of_a_private_address_is_reached(make_client: MakeClient, canary: Canary, form: str) -> None:
    """It is refused by its notation alone, already when the URL is accepted."""
    for error in attempt(make_client(to_loopback), form.replace("PORT", str(canary.port))):
        assert isinstance(error, AddressRefused)
    assert canary.silent


@pytest.mark.parametrize("form", NAMES)
def test_no_name_of_a_private_address_is_reached(make_client: MakeClient, canary: Canary, form: str) -> None:
    """Its notation is valid; the resolved address is refused."""
    for error in attempt(make_client(to_loopback), form.replace("PORT", str(canary.port))):
        assert isinstance(error, AddressUnavailable)
    assert canary.silent


@pytest.mark.parametrize("address", PRIVATE.values(), ids=PRIVATE.keys())
def test_no_private_address_is_reached(make_client: MakeClient, canary: Canary, address: str) -> None:
    """Neither directly, nor behind a name, nor behind a name that also has a public address."""
    host = f"[{address}]" if ":" in address else address
    for error in attempt(make_client(to_loopback), f"http://{host}:{canary.port}/"):
        assert isinstance(error, AddressRefused)
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        client = make_client(lambda host, port, answer=answer: answer)
        for error in attempt(client, f"http://good.example:{canary.port}/"):
            assert isinstance(error, AddressUnavailable)
    assert canary.silent


def test_addresses_of_the_system_resolver_are_checked(make_client: MakeClient, canary: Canary) -> None:
    """`localhost`, as this host resolves it."""
    attempt(make_client(), f"http://localhost:{canary.port}/")
    assert canary.silent


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "192.0.1.1", "2606:2800:21f:cb07::1", "2a00:1450::1"])
def test_a_public_address_is_connected_to(make_client: MakeClient, canary: Canary, address: str) -> None:
    """So the refusals above come from the policy. Here the peer is another address, so nothing is sent."""
    errors = attempt(make_client(lambda host, port: [address]), f"http://good.example:{canary.port}/")
    assert {type(error) for error in errors} == {AddressUnavailable}
    assert canary.targets == [(address, canary.port)] * 2
    assert canary.site.requests == []


def test_dns_rebinding_reaches_nothing(make_client: MakeClient, canary: Canary) -> None:
    """Public when it is checked, loopback a moment later: the checked address is connected to."""
    answers = cycle([[PUBLIC], ["127.0.0.1"]])
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    client = make_client(resolve)
    for _ in range(6):
        with pytest.raises(AddressUnavailable):
            client.fetch(f"http://good.example:{canary.port}/", io.BytesIO(), max_bytes=1_000)
    assert asked == ["good.example"] * 6
    assert canary.targets == [(PUBLIC, canary.port)] * 3
    assert canary.site.requests == []


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:PORT/",
        "http://inside.example:PORT/",
        "http://2130706433:PORT/",
        "http://[::1]:PORT/",
        "http://169.254.169.254/latest/meta-data/",
        "//127.0.0.2:PORT/",
        "\\\\127.0.0.2:PORT/",
        "/\t/127.0.0.2:PORT/",
        "http://127.0.0.1:PORT@127.0.0.2:PORT/",
        "http://user:password@127.0.0.1:PORT/",
        "http://127.0.0.1:22/",
        "file:///etc/passwd",
        "ftp://127.0.0.1:PORT/",
        "gopher://127.0.0.1:PORT/_GET",
        "data:image/png;base64,AAAA",
        "http://[",
        "http://%31/",
        "",
    ],
)
def test_no_redirect_reaches_a_private_address(make_client: MakeClient, site: Site, location: str) -> None:
    """A public server redirects to a private address: every hop is checked like the first."""
    site.answers["/"] = reply(status=302, location=location.replace("PORT", str(site.port)))
    allowed = make_client(lambda host, port: [host if host == "127.0.0.1" else "127.0.0.2"], allow=["127.0.0.1"])
    into = io.BytesIO()
    with pytest.raises((FetchFailed, AddressUnavailable)):
        allowed.fetch(site.url(), into, max_bytes=1_000)
    # An empty Location is the page itself, again and again.
    assert len(site.requests) == (1 if location else 6)
    assert into.getvalue() == b""


def test_errors_do_not_reveal_the_network(make_client: MakeClient, site: Site) -> None:
    """A private host, an unknown name and a closed port have the same error."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        closed_port = closed.getsockname()[1]

    def resolve(host: str, port: int) -> list[str]:
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ["10.0.0.1"]

    clients = {
        f"http://inside.example:{site.port}/": make_client(resolve),
        f"http://nowhere.example:{site.port}/": make_client(resolve),
        f"http://127.0.0.1:{closed_port}/": make_client(allow=["127.0.0.1"]),
    }
    documents = [error.document() for url, client in clients.items() for error in attempt(client, url)]
    assert len(documents) == 6
    assert all(document == documents[0] for document in documents)
