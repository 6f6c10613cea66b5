"""What a connection may cost before a request is whole: bytes of headers, time to them, connections, requests ahead.

Uvicorn with httptools limits none of these: 200 MB of headers on one connection took 2 GB. Uvicorn is started with this
class: `--http app.api.http_protocol:LimitedProtocol`. A proxy in front does not see what reaches this port beside it.
"""

import json
import resource
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import HeadersTimeout, HeadersTooLarge, MalformedRequest, Overloaded, ServiceError
from app.settings import ApiSettings

_MAX_HEADERS = 100
_MAX_PIPELINED = 16
# The parser keeps what it has of a header, and a read may have 256 kB.
_PIECE = 32 * 1024
# A chunk of a body has six bytes around its own.
_BYTES_PER_BODY_BYTE = 4
# Seconds for the rest of a body after the answer: the caller may read that only after it has sent all.
_LINGER = 30.0
# Files that the process needs besides its connections.
_OTHER_FILES = 500


class LimitedProtocol(HttpToolsProtocol):
    """One connection. Those that have no whole request are closed when there are too many, the oldest first."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        settings: ApiSettings = self.app_state["settings"].api
        self._limits = settings
        self._idle: dict[LimitedProtocol, None] = self.app_state.setdefault("idle_connections", {})
        self._fruitless = 0  # bytes that are no body, beyond what the body's own bytes allow
        self._refused = False
        self._header_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Makes room for this connection, or refuses it where all others are in use."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            if not self._idle:
                self._refuse(Overloaded("Too many connections are open; try again in a few seconds."))
                return
            next(iter(self._idle)).transport.abort()
        self._idle[self] = None
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all timers."""
        self._idle.pop(self, None)
        self._stop_header_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses a piece at a time, so that what is not a body cannot become large."""
        for at in range(0, len(data), _PIECE):
            piece = data if len(data) <= _PIECE else data[at : at + _PIECE]
            self._fruitless += len(piece)
            super().data_received(piece)
            if self._refused or self.transport.is_closing():
                return
            if self._fruitless > self._limits.max_header_bytes:
                self._refuse_headers()
                return
        if self in self._idle and self._header_timer is None:  # blank lines begin no message
            self._start_header_timer()

    def on_message_begin(self) -> None:
        """The headers have a time limit from here on, and before it on a new connection."""
        super().on_message_begin()
        if self._header_timer is None:
            self._start_header_timer()

    def on_headers_complete(self) -> None:
        """Starts the request, unless its headers are too large."""
        self._fruitless = 0
        self._idle.pop(self, None)
        self._stop_header_timer()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self._limits.max_header_bytes or len(self.headers) > _MAX_HEADERS:
            self._refuse_headers()
        elif len(self.pipeline) >= _MAX_PIPELINED:
            self._refuse(MalformedRequest(f"At most {_MAX_PIPELINED} requests may be sent ahead of their answers."))
        if not self._refused:
            super().on_headers_complete()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also of the trailer after a body in chunks, which has no use."""
        if not self._refused and len(self.headers) <= _MAX_HEADERS:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A part of the body, whose bytes allow for some around them: chunks of a byte cost more than they bring."""
        self._fruitless = max(0, self._fruitless - _BYTES_PER_BODY_BYTE * len(body))
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The connection is idle, or has to send the rest of its body soon."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self.pipeline:
            self._idle[self] = None
            if self.cycle.more_body:
                self._start_header_timer(_LINGER)

    def pause_writing(self) -> None:
        """The peer does not read: after some time it is taken for gone."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(self._limits.send_timeout.total_seconds(), self.transport.abort)

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """As a problem document."""
        self._refuse(MalformedRequest("This is not an HTTP/1.1 request."))

    def _start_header_timer(self, seconds: float | None = None) -> None:
        self._stop_header_timer()
        limit = self._limits.header_timeout.total_seconds() if seconds is None else seconds
        self._header_timer = self.loop.call_later(limit, self._refuse, HeadersTimeout("The request took too long."))

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _refuse_headers(self) -> None:
        limit = self._limits.max_header_bytes
        self._refuse(HeadersTooLarge(f"The headers may have at most {limit:,} bytes and {_MAX_HEADERS} lines."))

    def _refuse(self, error: ServiceError) -> None:
        """Answers, unless another answer is under way, and closes the connection."""
        if self.transport.is_closing():
            return
        self._refused = True
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps(error.document()).encode()
            head = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[error.status] + head.encode() + body)
        self.transport.close()


def allow_connections(most: int) -> None:
    """Lets the process have so many connections open, as far as its hard limit of files goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
