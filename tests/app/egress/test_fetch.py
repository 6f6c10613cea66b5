"""Fetching: what comes back, and every way of being given too much, too slowly, or something else."""

import gzip
import io
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.egress import EgressClient, Fetched
from app.errors import AddressUnavailable, FetchFailed, FetchTooLarge
from tests.app.egress.conftest import MakeClient
from tests.app.egress.site import Script, Site, reply


def fetch(client: EgressClient, url: str, max_bytes: int = 1_000) -> tuple[bytes, Fetched]:
    """The bytes, and their description."""
    into = io.BytesIO()
    fetched = client.fetch(url, into, max_bytes=max_bytes)
    return into.getvalue(), fetched


def test_an_image_is_fetched(client: EgressClient, site: Site) -> None:
    """Bytes, type and URL; and the request has only the necessary headers."""
    site.answers["/cat?size=1"] = reply(b"meow", content_type="Image/PNG; q=1", set_cookie="a=b")
    url = site.url("/cat?size=1")
    assert fetch(client, url + "#top") == (b"meow", Fetched(4, "image/png", url))
    fetch(client, url)
    first, second = site.requests
    assert first.line == "GET /cat?size=1 HTTP/1.1"
    assert {name.lower() for name in second.headers} == {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "connection",
    }
    assert second.headers["host"] == f"127.0.0.1:{site.port}"


def test_a_private_host_is_allowed_by_name(make_client: MakeClient, site: Site) -> None:
    """And only by that name, not by another one of the same address."""
    client = make_client(lambda host, port: ["127.0.0.1"], allow=["Inside.example"])
    assert fetch(client, site.url(host="inside.example."))[0] == b"a secret"
    with pytest.raises(AddressUnavailable):
        fetch(client, site.url(host="other.example"))
    assert site.connections == 1


def test_the_next_address_is_tried(make_client: MakeClient, site: Site) -> None:
    """A name may have an address that does not respond."""
    client = make_client(lambda host, port: ["::1", "127.0.0.1"], allow=["::1", "127.0.0.1"])
    assert fetch(client, site.url(host="images.example"))[0] == b"a secret"


def test_the_environment_names_no_proxy(make_client: MakeClient, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to unchecked addresses."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(make_client(allow=["127.0.0.1"]), site.url())[0] == b"a secret"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(client: EgressClient, site: Site, status: int) -> None:
    """Relative and absolute, without their cookies or bodies."""
    site.answers["/a"] = reply(b"x" * 5_000, status, location="b?c=d#e", set_cookie="a=b")
    site.answers["/b?c=d"] = reply(b"", status, location=site.url("/cat"))
    site.answers["/cat"] = reply(b"meow")
    assert fetch(client, site.url("/a")) == (b"meow", Fetched(4, "", site.url("/cat")))
    assert all(request.headers["cookie"] is None for request in site.requests)


def test_redirects_end(client: EgressClient, site: Site) -> None:
    """A loop ends after the configured number."""
    site.answers["/"] = reply(status=302, location="/")
    with pytest.raises(FetchFailed, match="more than 5 times"):
        fetch(client, site.url())
    assert len(site.requests) == 6


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 401, 403, 404, 410, 418])
def test_a_refusal_is_final(client: EgressClient, site: Site, status: int) -> None:
    """Another attempt would have the same response."""
    site.answers["/"] = reply(status=status)
    with pytest.raises(FetchFailed, match=str(status)) as refused:
        fetch(client, site.url())
    assert refused.value.permanent


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_transient_failure_can_be_retried(client: EgressClient, site: Site, status: int) -> None:
    """The error is not permanent."""
    site.answers["/"] = reply(b"later", status)
    with pytest.raises(AddressUnavailable, match=str(status)) as refused:
        fetch(client, site.url())
    assert not refused.value.permanent


def test_the_limit_is_exact(client: EgressClient, site: Site) -> None:
    """Exactly the limit is accepted; one byte more is refused by its announced length."""
    site.answers["/"] = reply(b"x" * 1_000)
    assert fetch(client, site.url())[1].size == 1_000
    with pytest.raises(FetchTooLarge) as refused:
        fetch(client, site.url(), max_bytes=999)
    assert refused.value.permanent
    assert refused.value.extensions == {"max_bytes": 999}


@pytest.mark.parametrize("head", [b"", b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_endless_response_is_refused(client: EgressClient, site: Site, head: bytes) -> None:
    """With any announced length, or none: at most the limit is stored, and the rest is not read."""

    def pour(channel: socket.socket) -> None:
        channel.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while True:
            channel.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    site.answers["/"] = pour
    into = io.BytesIO()
    with pytest.raises(FetchTooLarge):
        client.fetch(site.url(), into, max_bytes=100_000)
    assert into.tell() <= 100_000


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
def test_broken_responses_are_errors(client: EgressClient, site: Site, answer: bytes) -> None:
    """A body that ends early or a server that does not speak HTTP."""
    site.answers["/"] = lambda channel: channel.sendall(answer)
    with pytest.raises(AddressUnavailable):
        fetch(client, site.url())


def test_bytes_beyond_the_announced_length_are_ignored(client: EgressClient, site: Site) -> None:
    """Further bytes belong to no response, and never to that of the next request."""
    site.answers["/"] = reply(b"image and smuggled", content_length="5")
    site.answers["/next"] = reply(b"next")
    assert fetch(client, site.url())[0] == b"image"
    assert fetch(client, site.url("/next"))[0] == b"next"
    assert site.connections == 2


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "identity, gzip"])
def test_a_decompression_bomb_is_refused(client: EgressClient, site: Site, encoding: str) -> None:
    """A hundred megabytes of zeros in a hundred kilobytes: no more than the limit is inflated."""
    site.answers["/"] = reply(gzip.compress(bytes(100_000_000)), content_encoding=encoding)
    into = io.BytesIO()
    with pytest.raises(FetchTooLarge):
        client.fetch(site.url(), into, max_bytes=1_000_000)
    assert into.tell() <= 1_000_000
    assert site.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_other_encodings_are_refused(client: EgressClient, site: Site, encoding: str) -> None:
    """None was requested."""
    site.answers["/"] = reply(b"whatever", content_encoding=encoding)
    with pytest.raises(FetchFailed, match="compressed"):
        fetch(client, site.url())


def drip(beginning: bytes) -> Script:
    """A script that sends this, then a byte from time to time, endlessly."""

    def script(channel: socket.socket) -> None:
        channel.sendall(beginning)
        while True:
            channel.sendall(b"x")
            time.sleep(0.02)

    return script


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nX-Slow: ",
    ],
)
def test_a_slow_response_times_out(make_client: MakeClient, site: Site, beginning: bytes) -> None:
    """The timeout is for the whole request: single bytes do not extend it."""
    site.answers["/"] = drip(beginning)
    client = make_client(allow=["127.0.0.1"], total_timeout=0.4)
    began = time.monotonic()
    with pytest.raises(AddressUnavailable):
        fetch(client, site.url())
    assert 0.35 < time.monotonic() - began < 2


def test_the_timeout_includes_redirects(make_client: MakeClient, site: Site) -> None:
    """Redirects that are each fast enough are too slow together."""

    def slowly(channel: socket.socket) -> None:
        time.sleep(0.25)
        channel.sendall(reply(status=302, location="/"))

    site.answers["/"] = slowly
    client = make_client(allow=["127.0.0.1"], total_timeout=0.6)
    began = time.monotonic()
    with pytest.raises(AddressUnavailable):
        fetch(client, site.url())
    assert 0.55 < time.monotonic() - began < 2
    assert len(site.requests) <= 3


def test_hanging_dns_times_out(make_client: MakeClient, site: Site) -> None:
    """The operating system's resolver has no timeout; ours has, and other requests are not delayed."""
    answered = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if host == "slow.example":
            answered.wait(10)
        return ["127.0.0.1"]

    client = make_client(resolve, allow=["127.0.0.1"], total_timeout=0.4)
    began = time.monotonic()
    try:
        with pytest.raises(AddressUnavailable):
            fetch(client, site.url(host="slow.example"))
        assert fetch(client, site.url(host="quick.example"))[0] == b"a secret"
        assert time.monotonic() - began < 2
    finally:
        answered.set()


def test_threads_share_a_client(make_client: MakeClient, site: Site) -> None:
    """Each has its own timeout: one that hangs ends alone."""
    site.answers["/slow"] = drip(b"HTTP/1.1 200 OK\r\n\r\n")
    client = make_client(allow=["127.0.0.1"], total_timeout=1)
    with ThreadPoolExecutor(16) as threads:
        slow = [threads.submit(fetch, client, site.url("/slow")) for _ in range(4)]
        quick = [threads.submit(fetch, client, site.url("/quick")) for _ in range(100)]
        assert all(future.result()[0] == b"a secret" for future in quick)
        assert all(isinstance(future.exception(), AddressUnavailable) for future in slow)
