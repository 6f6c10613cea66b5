"""The library's HTTP client, against servers that do not behave."""

import socket
import time

import pytest

from attribution.errors import ConnectionFailed, ResponseLost, SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Request
from tests.app.egress.site import Site, reply, serve

KEY = {"x-key": "secret"}
MANY = 1_000_000


def drip(channel: socket.socket) -> None:
    """A header that never ends, a byte at a time."""
    channel.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
    while True:
        channel.sendall(b"x")
        time.sleep(0.02)


def cut(channel: socket.socket) -> None:
    """Half a response."""
    channel.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")


@pytest.fixture
def site():
    """A server whose answers are written byte by byte."""
    with serve() as site:
        yield site


def test_an_answer_is_returned_whatever_its_status(site: Site, client: HttpClient) -> None:
    """With its headers in lower case; and ours are sent beside the request's own."""
    site.answers["/v1/x"] = reply(b'{"a": 1}', 418, Retry_After="5")
    asked = Request.json("x", {"b": 2, "c": None}, {"x-more": "yes"})
    response = client.send(asked, site.url("/v1/x"), KEY, Deadline.after(9), MANY)
    assert (response.status, response.document(), response.headers["retry-after"]) == (418, {"a": 1}, "5")
    (request,) = site.requests
    assert (request.body, request.headers["x-key"], request.headers["x-more"]) == (b'{"b": 2}', "secret", "yes")
    assert request.headers["host"] == f"127.0.0.1:{site.port}"
    assert "secret" not in repr(asked) + repr(response)


def test_connections_are_kept(site: Site, client: HttpClient) -> None:
    """One pool for the process."""
    site.answers["/"] = reply(b"{}")
    for _ in range(3):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)
    assert site.connections == 1


def test_redirects_are_not_followed(site: Site, client: HttpClient) -> None:
    """A key would go along."""
    site.answers["/"] = reply(b"", 302, Location=site.url("/elsewhere"))
    assert client.send(Request.get(""), site.url(), KEY, Deadline.after(9), MANY).status == 302
    assert len(site.requests) == 1


def test_too_many_bytes(site: Site, client: HttpClient) -> None:
    """No more is read than was asked for."""
    site.answers["/"] = reply(b"x" * 2_000)
    with pytest.raises(SourceError, match="1,000 bytes"):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), 1_000)


def test_a_dripping_server_is_left_at_the_deadline(site: Site, client: HttpClient) -> None:
    """Every byte is progress, and still the time is over."""
    site.answers["/"] = drip
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        client.send(Request.get(""), site.url(), {}, Deadline.after(0.4), MANY)
    assert time.monotonic() - started < 5


def test_half_an_answer_is_lost(site: Site, client: HttpClient) -> None:
    """Sent, and nobody knows what became of it."""
    site.answers["/"] = cut
    with pytest.raises(ResponseLost):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)


def test_nobody_there(client: HttpClient) -> None:
    """Nothing was sent."""
    with pytest.raises(ConnectionFailed):
        client.send(Request.get(""), "http://127.0.0.1:9/", {}, Deadline.after(9), MANY)


def test_compressed_bodies_are_not_taken(site: Site, client: HttpClient) -> None:
    """None was asked for, and a few kilobytes could become gigabytes."""
    site.answers["/"] = reply(b"x", Content_Encoding="gzip")
    with pytest.raises(SourceError, match="compressed"):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)


@pytest.mark.parametrize("url", ["http://127.0.0.1/x.png", "file:///etc/passwd", "no address", "https://[::1"])
def test_generated_images_are_fetched_over_https_alone(url: str, client: HttpClient) -> None:
    """What a vendor's response points to may be anything."""
    with pytest.raises(SourceError, match="not an https"):
        client.fetch(url, MANY, Deadline.after(9))


@pytest.mark.parametrize(
    ("status", "kind", "match"),
    [(403, SourceError, "no longer"), (404, SourceError, "no longer"), (503, SourceUnavailable, "503")],
)
def test_what_an_address_says_instead(status: int, kind: type[SourceError], match: str) -> None:
    """An address that has expired is not tried again; a store that is busy is."""
    from attribution.resynthesis.remote.http_client import fetch_failure

    with pytest.raises(kind, match=match):
        raise fetch_failure(status)
