"""An HTTP server on loopback whose answers a test writes byte by byte, and which counts who came."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from io import BufferedIOBase

Script = Callable[[socket.socket], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived."""

    line: str
    headers: Message
    body: bytes


class Site(socketserver.ThreadingTCPServer):
    """Answers each path with its bytes, or lets its script talk; keeps connections open as HTTP/1.1 does."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.tls = tls
        self.port: int = self.server_address[1]
        self.answers: dict[str, bytes | Script] = {}
        self.connections = 0
        self.requests: list[Request] = []

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        """The address of a path here."""
        return f"{scheme}://{host}:{self.port}{path}"


class _Connection(socketserver.BaseRequestHandler):
    server: Site

    def handle(self) -> None:
        self.server.connections += 1
        try:
            channel = self.server.tls.wrap_socket(self.request, server_side=True) if self.server.tls else self.request
            with channel, channel.makefile("rb") as reader:
                while line := reader.readline():
                    self.answer(channel, line, reader)
        except OSError:
            pass  # the client has left, or never wanted this certificate

    def answer(self, channel: socket.socket, line: bytes, reader: BufferedIOBase) -> None:
        head = b""
        while (header := reader.readline()) not in (b"\r\n", b""):
            head += header
        headers = BytesHeaderParser().parsebytes(head)
        body = reader.read(int(headers.get("content-length", 0)))
        self.server.requests.append(Request(line.decode().strip(), headers, body))
        answer = self.server.answers.get(line.split()[1].decode(), reply(b"a secret"))
        if isinstance(answer, bytes):
            channel.sendall(answer)
        else:
            answer(channel)
            raise ConnectionError("the script is over")


def reply(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole answer; header names are written with underscores."""
    headers = {"content_length": str(len(body))} | headers
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode("latin-1") + body


@contextmanager
def serve(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """A site that is up."""
    with Site(tls) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield site
        site.shutdown()
        thread.join()
