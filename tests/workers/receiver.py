"""A receiver of webhooks on loopback: it verifies every request, and responds as a test defines."""

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook

from workers.notify import utc_now


class Clock:
    """The wall clock, which a test may set forward; receivers that verify go by it, too."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        clock = self

        class Ahead(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock()

        patch.setattr("standardwebhooks.webhooks.datetime", Ahead)

    def __call__(self) -> datetime:
        """The time."""
        return utc_now() + self.ahead

    def forward(self, by: timedelta) -> None:
        """Sets it forward."""
        self.ahead += by


@dataclass(frozen=True, slots=True)
class Message:
    """One request that arrived and was verified."""

    path: str
    id: str
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """The payload's own part."""
        found: dict[str, Any] = self.body["data"]
        return found


# What to do with a message: a status with headers, or something done to the connection.
Answer = tuple[int, dict[str, str]]
Behavior = Callable[["Receiver", Message, socket.socket], Answer | None]


def accept(receiver: "Receiver", message: Message, connection: socket.socket) -> Answer | None:
    """Accepts everything."""
    return 204, {}


def reset(connection: socket.socket) -> None:
    """Resets a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Receiver(ThreadingHTTPServer):
    """Remembers what arrived (`seen`) and what of it was answered with 2xx (`taken`), in the order of arrival."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, behave: Behavior) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave = behave
        self.secrets: dict[str, str] = {}  # by path
        self.seen: list[Message] = []
        self.taken: list[Message] = []
        self.unverified: list[str] = []
        self.at_once: Counter[str] = Counter()  # most requests that were under way together, by path
        self.leaving = threading.Event()
        self._here: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._took = threading.Condition(self._lock)

    def url(self, path: str = "/") -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def take(self, message: Message) -> None:
        """Remembers a message that is answered with 2xx."""
        with self._took:
            self.taken.append(message)
            self._took.notify_all()

    def wait_for_taken(self, count: int, seconds: float) -> None:
        """Waits until so many messages were answered with 2xx."""
        with self._took:
            assert self._took.wait_for(lambda: len(self.taken) >= count, seconds)

    @contextmanager
    def visit(self, path: str) -> Iterator[None]:
        """Counts the requests that are running."""
        with self._lock:
            self._here[path] += 1
            self.at_once[path] = max(self.at_once[path], self._here[path])
        try:
            yield
        finally:
            with self._lock:
                self._here[path] -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        with self.server.visit(self.path):
            self.receive()

    def receive(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = Webhook(self.server.secrets[self.path]).verify(content, headers)
        except Exception as error:
            self.server.unverified.append(repr(error))
            raise
        assert json.loads(content) == body
        message = Message(self.path, headers["webhook-id"], body)
        self.server.seen.append(message)
        answer = self.server.behave(self.server, message, self.connection)
        if answer is None:
            self.close_connection = True
            return
        status, named = answer
        if 200 <= status < 300:
            self.server.take(message)
        self.send_response(status)
        for name, value in named.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(Receiver):
    def handle_error(self, *_: object) -> None:
        """Connections that were reset; what did not verify is remembered."""


@contextmanager
def receive(behave: Behavior = accept) -> Iterator[Receiver]:
    """A receiver that is up."""
    with _Quiet(behave) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.leaving.set()
            receiver.shutdown()
            thread.join()
