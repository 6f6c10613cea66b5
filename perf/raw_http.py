"""What `perf.fuzz_http` sends: bytes on raw sockets that are no reasonable HTTP, a function for each kind of attack.

Runs in a process of its own, so that the measured answers do not wait for this one's work.
"""

import asyncio
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine

_CHUNK = b"x" * 65_536
HALF_OPEN = 15_000
Attack = Callable[[int, str, float], Coroutine[None, None, None]]


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _send(port: int, parts: list[bytes], until: float, repeat: bytes = b"", pause: float = 0) -> None:
    """Sends the parts, then `repeat` until the time is over or the peer has had enough; reads nothing."""
    try:
        _, writer = await _connect(port)
    except OSError:
        await asyncio.sleep(0.05)
        return
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        while repeat and time.monotonic() < until:
            writer.write(repeat)
            await asyncio.wait_for(writer.drain(), max(0.1, until - time.monotonic()))
            await asyncio.sleep(pause)
    except (OSError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


async def _often(until: float, width: int, make: Callable[[], Awaitable[None]]) -> None:
    async def again() -> None:
        while time.monotonic() < until:
            await make()

    await asyncio.gather(*(again() for _ in range(width)))


def _flood(parts: list[bytes], repeat: bytes, width: int = 4, pause: float = 0) -> Attack:
    async def run(port: int, key: str, until: float) -> None:
        given = [part.replace(b"KEY", key.encode()) for part in parts]
        await _often(until, width, lambda: _send(port, given, until, repeat, pause))

    return run


async def _half_open(port: int, _: str, until: float) -> None:
    """Connections that begin a request and never end it; those that are closed are opened again."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    width = min(HALF_OPEN, hard - 200)

    async def hold() -> None:
        while time.monotonic() < until:
            try:
                reader, writer = await _connect(port)
                writer.write(b"POST /attribute HTTP/1.1\r\nHost: x\r\n")
                await asyncio.wait_for(reader.read(), max(0.1, until - time.monotonic()))
                writer.transport.abort()
            except (OSError, TimeoutError):
                await asyncio.sleep(1)

    await asyncio.gather(*(hold() for _ in range(width)))


async def _garbage(port: int, key: str, until: float) -> None:
    """A sensible request with some of its bytes changed, cut, repeated or sent one by one."""
    dice = random.Random(11)
    good = (
        f"POST /attribute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n"
        'Content-Type: application/json\r\n\r\n12\r\n{"image": "aGFsbG8"}\r\n0\r\n\r\n'
    ).encode()

    async def one() -> None:
        data = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(data))
            change = dice.randrange(4)
            if change == 0:
                data[at] = dice.randrange(256)
            elif change == 1:
                del data[at : at + dice.randrange(40)]
            elif change == 2:
                data[at:at] = data[max(0, at - 30) : at] * dice.randint(1, 50)
            else:
                data[at:at] = dice.choice([b"\r\n", b"\0", b"\r\n\r\n", b"Content-Length: 9\r\n", b"\xff" * 99])
        size = dice.choice([1, 7, len(data)])
        parts = [bytes(data[at : at + size]) for at in range(0, len(data), size)]
        await _send(port, parts, until)

    await _often(until, 8, one)


_POST = b"POST /attribute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n"
_JSON = _POST + b"Content-Type: application/json\r\n"
_CHUNKED = _JSON + b"Transfer-Encoding: chunked\r\n\r\n"
_MEMBERS = b'{"image": ""' + b"".join(b', "unknown-%d": %d' % (k, k) for k in range(100_000)) + b"}"
_DEEP = b'{"metadata": ' + b"[" * 500_000 + b"]" * 500_000 + b"}"


def _whole(head: bytes, body: bytes) -> list[bytes]:
    return [head + b"Content-Length: %d\r\n\r\n" % len(body), body]


async def _nothing(port: int, key: str, until: float) -> None:
    """For comparison."""
    await asyncio.sleep(until - time.monotonic())


ATTACKS: dict[str, Attack] = {
    "nothing": _nothing,
    "one header without an end": _flood([b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "], _CHUNK),
    "headers without an end": _flood([b"GET / HTTP/1.1\r\nHost: x\r\n"], b"X-Header: value\r\n" * 4_000),
    "a path without an end": _flood([b"GET /"], _CHUNK),
    "a trailer without an end": _flood([_CHUNKED, b"2\r\n{}\r\n0\r\nX-A: "], _CHUNK),
    "a chunk's extension without an end": _flood([_CHUNKED, b"2;a="], _CHUNK),
    "blank lines": _flood([], b"\r\n" * 30_000),
    "tiny chunks": _flood([_CHUNKED], b"1\r\n \r\n" * 5_000),
    "pipelined requests": _flood([], b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000),
    "answers that are not read": _flood([b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 10], b"\r\n", 64, 1),
    "a body after a refusal": _flood([b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"], _CHUNK),
    "headers byte by byte": _flood([b"GET / HTTP/1.1\r\n"], b"A", 500, 0.5),
    "bodies byte by byte": _flood([_JSON + b"Content-Length: 1000\r\n\r\n"], b" ", 64, 0.5),
    "half-open requests": _half_open,
    "100,000 members": _flood(_whole(_JSON, _MEMBERS), b"\r\n", 4, 1),
    "deep JSON": _flood(_whole(_JSON, _DEEP), b"\r\n", 4, 1),
    "changed bytes": _garbage,
}


def main() -> None:
    """Attacks for some seconds: name, port, key, seconds."""
    name, port, key, seconds = sys.argv[1:]
    asyncio.run(ATTACKS[name](int(port), key, time.monotonic() + float(seconds)))


if __name__ == "__main__":
    main()
