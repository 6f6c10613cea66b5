"""Receives the body of a request in chunks, up to a size limit, with one chunk in memory at a time."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from anyio import current_time, fail_after
from python_multipart.multipart import parse_options_header
from starlette.types import Message, Receive

from app.errors import MalformedRequest, UnsupportedMediaType, UploadTimeout, UploadTooLarge
from app.intake.spool import write_all
from app.settings import IntakeSettings

JSON = "application/json"
# Of a JSON body, for everything that is not an image.
_OVERHEAD = 128 * 1024
# Seconds before the rate of a body counts.
_GRACE = 10.0


def media_type(headers: Mapping[str, str]) -> str:
    """The media type in `Content-Type`, without parameters; "" without the header."""
    return parse_options_header(headers.get("content-type", ""))[0].decode("latin-1")


def body_limit(limits: IntakeSettings) -> int:
    """The size limit of a JSON body that has an image, reference images, or both, in bytes.

    Base64 takes a third more, and `/` may be written as `\\/`.
    """
    return (limits.max_bytes + limits.max_reference_bytes) * 3 // 2 + _OVERHEAD


def refuse_compressed(headers: Mapping[str, str]) -> None:
    """Raises UnsupportedMediaType for a body with a content encoding: a small one may become gigabytes."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "none", "utf-8", "aws-chunked"):
        raise UnsupportedMediaType(
            f"The body is compressed (Content-Encoding: {encoding[:40]}). Send it uncompressed, without that header."
        )


class Pace:
    """How fast a body must arrive: within a time limit, and after a grace period with a least average rate."""

    def __init__(self, limits: IntakeSettings, grace: float = _GRACE) -> None:
        self._grace = grace
        self._longest = limits.upload_timeout.total_seconds()
        self._rate = limits.min_upload_rate
        self._began = current_time()
        self._received = 0

    async def next(self, receive: Receive) -> Message:
        """The next message. Raises UploadTimeout."""
        allowed = min(self._longest, self._grace + self._received / self._rate)
        try:
            with fail_after(self._began + allowed - current_time()):
                message = await receive()
        except TimeoutError as error:
            raise UploadTimeout(
                f"The body took too long to arrive: it must be complete within {self._longest:g} seconds, and after "
                f"{self._grace:g} seconds at least {self._rate:,} bytes a second must have arrived."
            ) from error
        self._received += len(message.get("body", b""))
        return message


async def receive_body(
    headers: Mapping[str, str],
    receive: Receive,
    max_bytes: int,
    refusal: UploadTooLarge,
    consume: Callable[[bytes], object],
    limits: IntakeSettings,
) -> None:
    """Passes every chunk to `consume`.

    Args:
        headers: Of the request; where `Content-Length` is above the limit, nothing is read.
        receive: The ASGI channel of the request.
        max_bytes: The size limit of the body.
        refusal: Raised above the limit.
        consume: Called with each chunk, in order. What it raises ends the reading.
        limits: Those of time.

    Raises:
        MalformedRequest: The connection closed before the body was complete.
        UnsupportedMediaType: The body is compressed.
        UploadTimeout: It came too slowly.
    """
    refuse_compressed(headers)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise refusal
    left = max_bytes
    more = True
    pace = Pace(limits)
    while more:
        message = await pace.next(receive)
        if message["type"] == "http.disconnect":
            raise MalformedRequest("The connection closed before the body was complete.")
        more = message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise refusal
        # Fifty concurrent uploads must not cost fifty buffers: a chunk is released before the next one is awaited.
        consume(message.pop("body", b""))


async def receive_json(
    headers: Mapping[str, str], receive: Receive, body: Path, limit: int, limits: IntakeSettings
) -> None:
    """Writes a JSON body to a file. Raises UnsupportedMediaType, UploadTooLarge, and as `receive_body` does."""
    if media_type(headers) != JSON:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    refusal = UploadTooLarge(f"The body may have at most {limit:,} bytes.", max_bytes=limit)
    with body.open("wb", buffering=0) as file:
        # 64 kB into the page cache take 20 µs; a thread would take longer and keep the chunk meanwhile.
        await receive_body(headers, receive, limit, refusal, partial(write_all, file), limits)
