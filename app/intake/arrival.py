"""Reads a request's body as it arrives, up to a cap, holding one chunk of it at a time."""

from collections.abc import Callable, Mapping
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.types import Receive

from app.errors import MalformedRequest, UploadTooLarge


def media_type(headers: Mapping[str, str]) -> str:
    """What the body is said to be, without parameters; "" where nothing is said."""
    return parse_options_header(headers.get("content-type", ""))[0].decode("latin-1")


async def receive_body(
    headers: Mapping[str, str],
    receive: Receive,
    max_bytes: int,
    refusal: UploadTooLarge,
    take: Callable[[bytes], object],
) -> None:
    """Has every chunk taken. Raises the refusal above `max_bytes`, MalformedRequest where the body breaks off."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise refusal
    left = max_bytes
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("The connection closed before the body was complete.")
        more = message.get("more_body", False)
        left -= len(message.get("body", b""))
        if left < 0:
            raise refusal
        # Fifty clients at once must not cost fifty buffers: a chunk is let go before the next one is waited for.
        take(message.pop("body", b""))


async def receive_file(
    headers: Mapping[str, str], receive: Receive, max_bytes: int, refusal: UploadTooLarge, path: Path
) -> None:
    """Writes the body to a file. Raises as `receive_body` does."""
    with path.open("wb", buffering=0) as file:
        # 64 kB into the page cache are 20 µs; a thread would take longer and keep the chunk meanwhile.
        await receive_body(headers, receive, max_bytes, refusal, file.write)
