"""What a connection may cost before a request is whole: raw sockets against the API behind a real server."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest

from tests.app.api.conftest import Served, connection

_BEGUN = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


def answers(connected: socket.socket) -> bytes:
    """Everything until the API closes the connection."""
    received = b""
    try:
        while chunk := connected.recv(65_536):
            received += chunk
    except ConnectionResetError:  # there was more to read when it closed
        pass
    return received


def sent(served: Served, *parts: bytes) -> bytes:
    """What the API answers to these bytes, sent one after the other, until it closes the connection."""
    with closing(connection(served)) as connected:
        try:
            for part in parts:
                connected.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answers(connected)


def problem(answer: bytes) -> tuple[int, str]:
    """Status and type of a problem document."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["type"]


TOO_LARGE = (431, "/problems/headers-too-large")


@pytest.mark.parametrize(
    "parts",
    [
        [_BEGUN + b"X-A: "] + [b"x" * 65_536] * 40,
        [_BEGUN] + [b"X-A: b\r\n" * 8_000] * 40,
        [b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [_BEGUN + b"X-A: " + b"x" * 40_000 + b"\r\n\r\n"],
        [_BEGUN + b"X-A: b\r\n" * 101 + b"\r\n"],
        [b"\r\n" * 40_000, b"\r\n" * 40_000],
    ],
    ids=["one line", "many lines", "path", "a whole request", "101 lines", "blank lines"],
)
def test_headers_have_a_limit(serve: Callable[..., Served], parts: list[bytes]):
    """A 431 as soon as it is passed, and the connection is closed."""
    assert problem(sent(serve(), *parts)) == TOO_LARGE


@pytest.mark.parametrize(
    ("end", "repeated"),
    [
        (b"2\r\n{}\r\n0\r\nX-A: ", b"x" * 65_536),
        (b"2;a=", b"x" * 65_536),
        (b"", b"1\r\n \r\n" * 10_000),
    ],
    ids=["trailer", "chunk extension", "tiny chunks"],
)
def test_what_follows_the_headers_has_the_same_limit(
    serve: Callable[..., Served], key: str, end: bytes, repeated: bytes
):
    """A trailer, the extension of a chunk and what is around chunks are no body."""
    head = f"POST /attribute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n"
    served, taken = serve(), 0
    with closing(connection(served)) as connected, pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - whichever write finds it
        connected.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + end)
        while taken < 50_000_000:
            connected.sendall(repeated)
            taken += len(repeated)


def test_large_headers_within_the_limit_are_accepted(serve: Callable[..., Served]):
    """As some browsers and proxies send them."""
    served = serve()
    headers = {f"X-{k}": "v" * 250 for k in range(80)}
    assert served.client.get("/livez", headers=headers).status_code == 200


def test_headers_have_a_time_limit(serve: Callable[..., Served]):
    """A 408 for a request that was begun and not ended, also on a connection that was used before."""
    served = serve(api={"header_timeout": timedelta(seconds=0.5)})
    late = (408, "/problems/headers-timeout")
    assert problem(sent(served, _BEGUN)) == late
    assert problem(sent(served, b"")) == late
    with closing(connection(served)) as connected:
        connected.sendall(_BEGUN + b"\r\n")
        assert b"200 OK" in connected.recv(65_536)
        connected.sendall(b"\r\n")
        assert problem(answers(connected)) == late


def test_connections_have_a_limit(serve: Callable[..., Served]):
    """Beyond it the oldest without a request is closed, so that an honest caller is answered at once."""
    served = serve(api={"max_connections": 20})
    with ExitStack() as open_ones:
        idle = [open_ones.enter_context(closing(connection(served))) for _ in range(20)]
        for each in idle:
            each.sendall(_BEGUN)
        with closing(connection(served)) as honest:
            honest.sendall(_BEGUN + b"Connection: close\r\n\r\n")
            assert b"200 OK" in answers(honest)
        assert answers(idle[0]) == b""
        idle[-1].sendall(b"Connection: close\r\n\r\n")
        assert b"200 OK" in answers(idle[-1])


def test_requests_ahead_have_a_limit(serve: Callable[..., Served], key: str):
    """Thousands of pipelined requests are not kept; a few are answered in order."""
    served = serve()
    few = sent(served, (_BEGUN + b"\r\n") * 9 + _BEGUN + b"Connection: close\r\n\r\n")
    assert few.count(b"200 OK") == 10
    many = sent(served, (_BEGUN + b"\r\n") * 5_000)
    assert many.count(b"200 OK") < 5_000


def test_a_caller_that_does_not_read_is_disconnected(serve: Callable[..., Served]):
    """Its response, and what it costs, is not kept for ever."""
    served = serve(api={"send_timeout": timedelta(seconds=0.5)})
    with closing(connection(served)) as connected:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connected.settimeout(1)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - whichever write finds it
            for _ in range(200):
                connected.sendall(request)
                time.sleep(0.05)
    assert served.client.get("/livez").status_code == 200


def test_bytes_that_are_no_request_are_a_problem(serve: Callable[..., Served]):
    """400, as a document like every other error."""
    assert problem(sent(serve(), b"\x16\x03\x01 hello\r\n\r\n")) == (400, "/problems/malformed-request")
