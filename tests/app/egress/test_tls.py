"""https: the certificate must be for the name in the URL, although it is the judged address that is connected to."""

import io
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme

from app.errors import AddressUnavailable
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Site, serve


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Site]:
    """A site with a certificate for good.example."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("good.example").configure_cert(context)
    with serve(context) as running:
        yield running


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is trusted, as an operator's own is."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.mark.usefixtures("trusted")
def test_the_name_is_verified(make_client: MakeClient, secure: Site) -> None:
    """The right name is accepted, also with a dot at its end; every other name and the bare address are not."""
    client = make_client(lambda host, port: ["127.0.0.1"], allow=["127.0.0.1"])
    for host in ("good.example", "good.example."):
        assert client.fetch(secure.url(host=host, scheme="https"), io.BytesIO(), max_bytes=100).size == 8
    for host in ("other.example", "sub.good.example", "127.0.0.1"):
        with pytest.raises(AddressUnavailable):
            client.fetch(secure.url(host=host, scheme="https"), io.BytesIO(), max_bytes=100)
        with pytest.raises(AddressUnavailable):
            client.post(secure.url(host=host, scheme="https"), b"{}", {}, timedelta(seconds=2))
    assert {request.headers["host"] for request in secure.requests} == {f"good.example:{secure.port}"}


def test_an_unknown_certificate_authority_is_refused(make_client: MakeClient, secure: Site) -> None:
    """A certificate of an unknown authority."""
    client = make_client(lambda host, port: ["127.0.0.1"], allow=["127.0.0.1"])
    with pytest.raises(AddressUnavailable):
        client.fetch(secure.url(host="good.example", scheme="https"), io.BytesIO(), max_bytes=100)
    assert secure.requests == []


class Silence(ssl.SSLContext):
    """A server that reads the handshake and never responds."""

    def wrap_socket(self, channel: socket.socket, **_: Any) -> NoReturn:  # type: ignore[override]
        """Waits until the other side leaves."""
        while channel.recv(4_096):
            pass
        raise ConnectionError("the other side has left")


@pytest.mark.usefixtures("trusted")
def test_a_hanging_tls_handshake_times_out(make_client: MakeClient, site: Site) -> None:
    """A server that accepts the connection and sends nothing during the handshake."""
    site.tls = Silence(ssl.PROTOCOL_TLS_SERVER)
    client = make_client(lambda host, port: ["127.0.0.1"], allow=["127.0.0.1"], total_timeout=0.3)
    began = time.monotonic()
    with pytest.raises(AddressUnavailable):
        client.fetch(site.url(host="good.example", scheme="https"), io.BytesIO(), max_bytes=100)
    assert 0.25 < time.monotonic() - began < 2
    assert site.requests == []
