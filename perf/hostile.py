"""Tenants that want all of something, one function for each shared resource: the noise of `make noisy`.

Each runs in a process of its own until that is ended, and uses nothing but its own key, or none.
"""

import io
import itertools
import json
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
from PIL import Image

from app.access.key_repository import make_key
from perf.job_client import solid_image
from perf.load import multipart

_HOLD_SECONDS = 600
_JOBS = 200


@dataclass(frozen=True, slots=True)
class Target:
    """The API, and a key of the hostile tenant."""

    base_url: str
    key: str

    def client(self, timeout: float = 60) -> httpx.Client:
        """A client with the key."""
        return httpx.Client(base_url=self.base_url, headers={"Authorization": f"Bearer {self.key}"}, timeout=timeout)

    def connect(self) -> socket.socket:
        """A connection without any protocol."""
        return socket.create_connection(("127.0.0.1", httpx.URL(self.base_url).port or 80), timeout=60)


def _in_threads(count: int, work: Callable[[], object]) -> None:
    """Repeats the work in so many threads, whatever it raises, for ever."""

    def repeat() -> None:
        while True:
            with suppress(httpx.HTTPError, OSError):
                work()
            time.sleep(0.01)

    threads = [Thread(target=repeat, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def jobs(target: Target) -> None:
    """As many jobs as are accepted."""
    http, numbers = target.client(), itertools.count()

    def submit() -> None:
        color = random.Random(next(numbers)).randbytes(3)
        http.post("/attribute", files={"image": solid_image((color[0], color[1], color[2]))})

    _in_threads(4, submit)


def cached_answers(target: Target) -> None:
    """The same file again and again."""
    http, image = target.client(), solid_image()
    _in_threads(4, lambda: http.post("/attribute", files={"image": image}))


def unknown_keys(target: Target) -> None:
    """Keys that have the right form and do not exist."""
    http = target.client()
    _in_threads(8, lambda: http.get("/sources", headers={"Authorization": f"Bearer {make_key().text}"}))


def costly_images(target: Target) -> None:
    """Images that take long to decode; the client waits for three seconds only."""
    buffer = io.BytesIO()
    Image.effect_noise((1_400, 1_400), 60).resize((7_000, 7_000)).convert("RGB").save(
        buffer, "JPEG", quality=60, progressive=True
    )
    http, image, numbers = target.client(timeout=3), buffer.getvalue(), itertools.count()
    # A byte behind the image makes it another file.
    _in_threads(8, lambda: http.post("/attribute", files={"image": image + b"%d" % next(numbers)}))


def large_documents(target: Target) -> None:
    """JSON with a hundred thousand members that there are not."""
    http = target.client()
    body = json.dumps({f"member {number}": 0 for number in range(100_000)}).encode()
    headers = {"Content-Type": "application/json"}
    _in_threads(2, lambda: http.post("/attribute", content=body, headers=headers))


def slow_uploads(target: Target) -> None:
    """A hundred uploads of which a byte comes now and then."""
    whole = multipart(bytes(100_000), {"Authorization": f"Bearer {target.key}"})

    def upload() -> None:
        with target.connect() as channel:
            channel.sendall(whole[:600])
            for byte in whole[600:]:
                time.sleep(1)
                channel.sendall(bytes([byte]))

    _in_threads(100, upload)


def endless_headers(target: Target) -> None:
    """Header lines without an end, on twenty connections."""

    def send() -> None:
        with target.connect() as channel:
            channel.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            for number in range(100_000):
                channel.sendall(b"X-%d: %s\r\n" % (number, bytes(1_000).replace(b"\0", b"x")))

    _in_threads(20, send)


def event_streams(target: Target) -> None:
    """Two hundred streams of one job, which waits for references for a long time."""
    with target.client() as http:
        data = {"await_references": "one", "await_seconds": "3600"}
        job = http.post("/attribute", files={"image": solid_image((9, 9, 9))}, data=data).json()

    def follow() -> None:
        with target.client() as http, http.stream("GET", f"/attribute/{job.get('id')}/events") as answer:
            for _ in answer.iter_lines():
                pass

    _in_threads(200, follow)


class _Tarpit(BaseHTTPRequestHandler):
    """Begins an answer, and does not go on."""

    def _begin(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n")
        with suppress(OSError):
            for _ in range(_HOLD_SECONDS):
                time.sleep(1)
                self.wfile.write(b"X-Wait: 1\r\n")

    do_GET = do_POST = _begin

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _tarpit() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Tarpit)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def tarpit_addresses(target: Target) -> None:
    """Images at addresses that never give one."""
    http, url, numbers = target.client(), _tarpit(), itertools.count()

    def submit() -> None:
        if next(numbers) < _JOBS:
            http.post("/attribute", json={"image_url": f"{url}/{next(numbers)}.png"})
        time.sleep(0.1)

    _in_threads(2, submit)


def hanging_receivers(target: Target) -> None:
    """As many webhook endpoints as are allowed, none of which answers, and jobs with events for them."""
    http, numbers = target.client(), itertools.count()
    for number in range(400):
        if http.post("/webhooks", json={"url": f"{_tarpit()}/{number}"}).status_code != httpx.codes.CREATED:
            break

    def submit() -> None:
        if (number := next(numbers)) < _JOBS:
            http.post("/attribute", files={"image": solid_image((number % 256, 1, 2))})
        time.sleep(0.2)

    _in_threads(1, submit)


KINDS: dict[str, Callable[[Target], None]] = {
    each.__name__: each
    for each in (
        jobs,
        cached_answers,
        unknown_keys,
        tarpit_addresses,
        hanging_receivers,
        event_streams,
        costly_images,
        large_documents,
        slow_uploads,
        endless_headers,
    )
}
