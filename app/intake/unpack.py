"""Parses a JSON body and moves the images in it into files. Of a large body, this runs in a decoding child process.

Imports nothing of the service. What the members mean is not decided here.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.intake.decode import limited
from app.intake.strict_json import parse

IMAGE = "image"
REFERENCES = "references"
ITEMS = "items"
# Of one body; each becomes a file.
MOST_IMAGES = 2_000
# As browsers make them. What the content decodes as counts, not what the address says it is.
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Stands where the text of an image stood: a file."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class NoImage:
    """Stands where the text of an image stood that is none, with a sentence that says why."""

    detail: str


def unpack(body: Path, folder: Path) -> Any:
    """The value of the body, its images and those of each of its `items` being ImageFiles or NoImages.

    An image is the text of `image`, and each of those in the lists of `references`, or in that list. Raises
    ValueError with a sentence where the body is not JSON or has far too many images, and OSError.
    """
    try:
        text = body.read_bytes().decode()
    except UnicodeDecodeError:
        raise ValueError("It is not UTF-8.") from None
    value = parse(text)
    del text
    items = value.get(ITEMS) if isinstance(value, dict) else None
    files = _Files(folder)
    for each in (value, *(items if isinstance(items, list) else ())):
        if isinstance(each, dict):
            if isinstance(each.get(IMAGE), str):
                each[IMAGE] = files.write(each.pop(IMAGE))
            references = each.get(REFERENCES)
            for texts in references.values() if isinstance(references, dict) else (references,):
                if isinstance(texts, list):
                    texts[:] = [files.write(text) if isinstance(text, str) else text for text in texts]
    return value


def unpack_limited(body: Path, folder: Path, memory_bytes: int, cpu_seconds: float) -> Any:
    """`unpack` for a child: within its limits on memory and computing, beyond which the process ends."""
    with limited(memory_bytes, cpu_seconds):
        return unpack(body, folder)


class _Files:
    """Writes texts in base64 into files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def write(self, text: str) -> ImageFile | NoImage:
        """A text's bytes, in a new file. Raises ValueError where there were too many before."""
        prefix = _DATA_URL.match(text)
        if prefix is None and text[:5].lower() == "data:":
            return NoImage("A data: URL must be written in base64.")
        try:
            data = base64.b64decode(memoryview(text.encode())[prefix.end() if prefix else 0 :], validate=True)
        except binascii.Error:
            return NoImage("The text is not base64, or there are line breaks in it.")
        if self._count == MOST_IMAGES:
            raise ValueError(f"There are more than {MOST_IMAGES:,} images in it.")
        path = self._folder / str(self._count)
        self._count += 1
        path.write_bytes(data)
        return ImageFile(path, len(data))
