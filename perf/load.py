"""A minimal HTTP/1.1 load generator: requests are prepared bytes, answers are counted.

httpx would use more of the shared cores than the servers that are measured.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class LoadFigures:
    """The result of a load: answers by status, and their latencies in seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    locations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return sum(self.statuses.values()) / self.seconds

    def percentile(self, percent: int) -> float:
        """Of the latencies, in seconds."""
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """One request as it goes over the wire."""
    given = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def multipart(image: bytes, headers: dict[str, str] | None = None, path: str = "/attribute") -> bytes:
    """A POST of one image as a form."""
    form = (
        b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + image + b"\r\n--cut--\r\n"
    )
    return request("POST", path, {"Content-Type": "multipart/form-data; boundary=cut", **(headers or {})}, form)


def closed_loop(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> LoadFigures:
    """Each connection sends its next request after an answer, until the time is over or requests run out."""
    load = LoadFigures()

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(_client(port, requests, until, load) for _ in range(connections)))

    started = time.perf_counter()
    asyncio.run(run())
    load.seconds = time.perf_counter() - started
    return load


def open_loop(port: int, requests: Iterator[bytes], per_second: float, seconds: float) -> LoadFigures:
    """Requests start on schedule, whether or not earlier ones were answered, each on its own connection."""
    load = LoadFigures()

    async def run() -> None:
        started = time.perf_counter()
        tasks = []
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            tasks.append(asyncio.create_task(_once(port, next(requests), load)))
        await asyncio.gather(*tasks)

    started = time.perf_counter()
    asyncio.run(run())
    load.seconds = time.perf_counter() - started
    return load


async def _client(port: int, requests: Iterator[bytes], until: float, load: LoadFigures) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        while time.perf_counter() < until and (sent := next(requests, None)) is not None:
            await _exchange(reader, writer, sent, load)
    finally:
        writer.close()


async def _once(port: int, sent: bytes, load: LoadFigures) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    except OSError:
        load.statuses[0] += 1
        return
    try:
        await _exchange(reader, writer, sent, load)
    except (OSError, asyncio.IncompleteReadError):
        load.statuses[0] += 1
    finally:
        writer.close()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, load: LoadFigures) -> None:
    started = time.perf_counter()
    writer.write(sent)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    await reader.readexactly(int(headers.get("content-length", 0)))
    load.latencies.append(time.perf_counter() - started)
    load.statuses[int(head.split(" ", 2)[1])] += 1
    if "location" in headers:
        load.locations.append(headers["location"])
