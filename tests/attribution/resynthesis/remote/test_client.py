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
    """An endless header, a byte at a time."""
    channel.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
    while True:
        channel.sendall(b"x")
        time.sleep(0.02)


def cut(channel: socket.socket) -> None:
    """A truncated response."""
    channel.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")


@pytest.fixture
def site():
    """A server whose responses are defined byte by byte."""
    with serve() as site:
        yield site


def test_an_answer_is_returned_whatever_its_status(site: Site, client: HttpClient) -> None:
    """Response headers are in lower case; additional headers are sent with those of the request."""
    site.answers["/v1/x"] = reply(b'{"a": 1}', 418, Retry_After="5")
    asked = Request.json("x", {"b": 2, "c": None}, {"x-more": "yes"})
    response = client.send(asked, site.url("/v1/x"), KEY, Deadline.after(9), MANY)
    assert (response.status, response.document(), response.headers["retry-after"]) == (418, {"a": 1}, "5")
    (request,) = site.requests
    assert (request.body, request.headers["x-key"], request.headers["x-more"]) == (b'{"b": 2}', "secret", "yes")
    assert request.headers["host"] == f"127.0.0.1:{site.port}"
    assert "secret" not in repr(asked) + repr(response)


def test_connections_are_kept(site: Site, client: HttpClient) -> None:
    """Connections are kept between requests."""
    site.answers["/"] = reply(b"{}")
    for _ in range(3):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)
    assert site.connections == 1


def test_redirects_are_not_followed(site: Site, client: HttpClient) -> None:
    """A redirect is returned and not followed, because the key would be sent along."""
    site.answers["/"] = reply(b"", 302, Location=site.url("/elsewhere"))
    assert client.send(Request.get(""), site.url(), KEY, Deadline.after(9), MANY).status == 302
    assert len(site.requests) == 1


def test_too_many_bytes(site: Site, client: HttpClient) -> None:
    """A response over the limit is an error."""
    site.answers["/"] = reply(b"x" * 2_000)
    with pytest.raises(SourceError, match="1,000 bytes"):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), 1_000)


def test_a_dripping_server_is_left_at_the_deadline(site: Site, client: HttpClient) -> None:
    """A server that sends single bytes is disconnected at the deadline."""
    site.answers["/"] = drip
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        client.send(Request.get(""), site.url(), {}, Deadline.after(0.4), MANY)
    assert time.monotonic() - started < 5


def test_half_an_answer_is_lost(site: Site, client: HttpClient) -> None:
    """A truncated response raises ResponseLost, because its outcome is unknown."""
    site.answers["/"] = cut
    with pytest.raises(ResponseLost):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)


def test_no_server(client: HttpClient) -> None:
    """Without a connection, ConnectionFailed is raised."""
    with pytest.raises(ConnectionFailed):
        client.send(Request.get(""), "http://127.0.0.1:9/", {}, Deadline.after(9), MANY)


def test_compressed_bodies_are_not_taken(site: Site, client: HttpClient) -> None:
    """A compressed response is an error, because it could expand to gigabytes."""
    site.answers["/"] = reply(b"x", Content_Encoding="gzip")
    with pytest.raises(SourceError, match="compressed"):
        client.send(Request.get(""), site.url(), {}, Deadline.after(9), MANY)


@pytest.mark.parametrize("url", ["http://127.0.0.1/x.png", "file:///etc/passwd", "no address", "https://[::1"])
def test_generated_images_are_fetched_over_https_alone(url: str, client: HttpClient) -> None:
    """Only https addresses are downloaded."""
    with pytest.raises(SourceError, match="not an https"):
        client.fetch(url, MANY, Deadline.after(9))


@pytest.mark.parametrize(
    ("status", "kind", "match"),
    [(403, SourceError, "no longer"), (404, SourceError, "no longer"), (503, SourceUnavailable, "503")],
)
def test_what_an_address_says_instead(status: int, kind: type[SourceError], match: str) -> None:
    """An expired address is a permanent error; a busy server is not."""
    from attribution.resynthesis.remote.http_client import fetch_failure

    with pytest.raises(kind, match=match):
        raise fetch_failure(status)
