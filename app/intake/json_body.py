"""Reads a JSON body into a file and unpacks it: a small one here, a large one in a decoding child."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import Receive

from app.errors import MalformedRequest, UnsupportedMediaType, UploadTooLarge
from app.intake.arrival import media_type, receive_file
from app.intake.decoders import Decoders
from app.intake.unpack import unpack
from app.settings import IntakeSettings

JSON = "application/json"
# Parsing this much takes less than a millisecond, and a child may be busy with an image.
_SMALL = 32 * 1024
_OVERHEAD = 128 * 1024


def body_limit(limits: IntakeSettings) -> int:
    """How large a JSON body may be, with an image and generated images or with generated images alone.

    Base64 takes a third more, and `/` may be written as `\\/`.
    """
    return (limits.max_bytes + limits.max_reference_bytes) * 3 // 2 + _OVERHEAD


async def receive_json(headers: Mapping[str, str], receive: Receive, body: Path, limit: int) -> None:
    """Writes the body to a file. Raises UnsupportedMediaType, UploadTooLarge, or MalformedRequest if it breaks off."""
    if media_type(headers) != JSON:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    refusal = UploadTooLarge(f"The body may have at most {limit:,} bytes.", max_bytes=limit)
    await receive_file(headers, receive, limit, refusal, body)


async def unpack_json(body: Path, decoders: Decoders) -> Any:
    """The value of the body; its images are files beside it. Raises MalformedRequest, or Unavailable."""
    try:
        if body.stat().st_size <= _SMALL:
            return unpack(body, body.parent)
        return await decoders.unpack(body, body.parent)
    except ValueError as error:
        raise MalformedRequest(f"The body is not the JSON that is taken here. {error}") from error
