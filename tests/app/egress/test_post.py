"""Posting, as webhooks and moderation hooks do."""

import socket
import time
from datetime import timedelta

import httpcore
import pytest

from app.egress import EgressClient, EgressResponse
from app.errors import AddressRefused, AddressUnavailable
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Script, Site, reply

SECOND = timedelta(seconds=1)


def post(
    client: EgressClient, url: str, content: bytes = b"{}", timeout: timedelta = SECOND, **headers: str
) -> EgressResponse:
    """The answer."""
    return client.post(url, content, headers, timeout)


def test_what_is_posted_arrives(client: EgressClient, site: Site) -> None:
    """Content and headers as given; the caller's own ones win, except for the host."""
    site.answers["/hook"] = reply(b"thanks", 202, retry_after="7")
    answer = client.post(
        site.url("/hook"),
        b'{"type":"ping"}',
        {"Content-Type": "application/json", "webhook-id": "msg_1", "User-Agent": "ours", "Host": "other.example"},
        SECOND,
    )
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (202, b"thanks", "7")
    assert timedelta(0) < answer.duration < SECOND
    (request,) = site.requests
    assert request.line == "POST /hook HTTP/1.1"
    assert request.body == b'{"type":"ping"}'
    assert request.headers.get_all("user-agent") == ["ours"]
    assert request.headers.get_all("host") == [f"127.0.0.1:{site.port}"]
    assert request.headers["webhook-id"] == "msg_1"


@pytest.mark.parametrize("status", [200, 204, 301, 302, 303, 307, 308, 404, 410, 429, 500, 503])
def test_every_status_is_a_response(client: EgressClient, site: Site, status: int) -> None:
    """A redirect too: it is not followed."""
    site.answers["/"] = reply(status=status, location="/elsewhere")
    assert post(client, site.url()).status == status
    assert len(site.requests) == 1


def test_a_connection_is_reused(make_client: MakeClient, site: Site) -> None:
    """The checked one: a receiver of many events is resolved once, whatever the DNS responds later."""
    answers = iter([["127.0.0.1"]])
    client = make_client(lambda host, port: next(answers), allow=["127.0.0.1"])
    for _ in range(5):
        assert post(client, site.url(host="hooks.example")).status == 200
    assert site.connections == 1
    assert {request.headers["host"] for request in site.requests} == {f"hooks.example:{site.port}"}


def test_a_closed_connection_is_not_reused(client: EgressClient, site: Site) -> None:
    """A receiver may close when it likes."""
    site.answers["/"] = lambda channel: channel.sendall(reply(b"bye"))
    for _ in range(3):
        assert post(client, site.url()).body == b"bye"
        time.sleep(0.05)
    assert site.connections == 3


def test_a_long_response_is_truncated(client: EgressClient, site: Site) -> None:
    """A kilobyte is read, and the rest is not awaited."""

    def pour(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            channel.sendall(b"x" * 4_096)

    site.answers["/"] = pour
    assert post(client, site.url()).body == b"x" * 1_024


def reset(channel: socket.socket) -> None:
    """Resets the connection."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    channel.close()


def hang(channel: socket.socket) -> None:
    """Sends nothing until the client disconnects."""
    channel.recv(1)


def half(channel: socket.socket) -> None:
    """Stops in the middle."""
    channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


@pytest.mark.parametrize("script", [reset, hang, half])
def test_no_response_is_a_transient_error(client: EgressClient, site: Site, script: Script) -> None:
    """Reset, hung or half sent: the same class, within the time."""
    site.answers["/"] = script
    began = time.monotonic()
    with pytest.raises(AddressUnavailable) as failed:
        post(client, site.url(), timeout=timedelta(seconds=0.3))
    assert not failed.value.permanent
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("rest", [b"", b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_status_is_enough_where_only_that_matters(client: EgressClient, site: Site, rest: bytes) -> None:
    """A receiver that leaves the body open has answered: a second is waited for the body, not the whole time."""

    def open_ended(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\n" + rest + b"\r\n")
        channel.recv(1)

    site.answers["/"] = open_ended
    began = time.monotonic()
    answer = client.post(site.url(), b"{}", {}, timedelta(seconds=30), status_only=True)
    assert (answer.status, answer.body) == (200, b"")
    assert time.monotonic() - began < 10


def test_a_receiver_that_does_not_read(client: EgressClient) -> None:
    """A body larger than the buffers, to a server that never reads: the timeout ends that, too."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(AddressUnavailable):
            post(client, f"http://127.0.0.1:{deaf.getsockname()[1]}/", bytes(30_000_000), timedelta(seconds=0.4))
        assert time.monotonic() - began < 2


def test_a_closed_port_is_an_error(client: EgressClient) -> None:
    """No server listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(AddressUnavailable):
        post(client, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\x00b"])
def test_headers_cannot_be_injected_by_a_header(client: EgressClient, site: Site, value: str) -> None:
    """A programming error, so it raises; nothing is sent."""
    with pytest.raises(httpcore.LocalProtocolError):
        post(client, site.url(), webhook=value)
    assert site.requests == []


def test_headers_cannot_be_injected_by_a_path(client: EgressClient, site: Site) -> None:
    """Line breaks are refused, and encoded ones stay encoded."""
    with pytest.raises(AddressRefused):
        post(client, site.url("/ HTTP/1.1\r\nX-Injected: 1\r\n"))
    post(client, site.url("/%0d%0aX-Injected:%201"))
    assert [request.line for request in site.requests] == ["POST /%0d%0aX-Injected:%201 HTTP/1.1"]
    assert site.requests[0].headers["x-injected"] is None
