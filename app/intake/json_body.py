"""Parses a JSON body strictly and writes the images in it to files. A large body is parsed in a child process.

Refused is what parsers disagree about, and what Postgres cannot store. The meaning of members is not checked here.
Imports nothing of the service, because the child processes import this module.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.intake.decoding import limited
from app.intake.spool import ImageFile

IMAGE = "image"
IMAGE_URL = "image_url"
REFERENCES = "references"
ITEMS = "items"
MAX_DEPTH = 32
_MAX_DIGITS = 40
# Of one body; each becomes a file.
_MAX_IMAGES = 2_000
# As browsers write them. The media type in the URL is ignored: the content decides what an image is.
_DATA_URL = re.compile(r"\s{0,9}data:[^,]{0,200};base64\s{0,9},", re.IGNORECASE)
_ADDRESS = re.compile(r"\s{0,9}https?://", re.IGNORECASE)
# MIME breaks lines, and addresses have two other characters.
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class NoImage:
    """Replaces the text of an image that is not valid base64; `detail` is a sentence about the reason."""

    detail: str


def parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError with a sentence that does not repeat the text."""
    try:
        value = json.loads(
            text, object_pairs_hook=_members, parse_constant=_constant, parse_float=_fraction, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, in line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise ValueError(f"It is nested more than {MAX_DEPTH} levels deep.") from None
    _check(value)
    return value


def unpack(body: Path, folder: Path) -> Any:
    """The value of a JSON body, with an ImageFile or a NoImage in place of each image.

    Images are the text of `image`, a data: URL in `image_url`, and the texts in the lists of `references` (or in
    `references` itself, where that is a list), in the body and in each of its `items`. Their bytes are written
    into `folder`.

    Raises ValueError with a sentence where the body is not JSON or has far too many images, and OSError.
    """
    try:
        text = body.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("It is not UTF-8.") from None
    value = parse(text)
    del text
    items = value.get(ITEMS) if isinstance(value, dict) else None
    files = _ImageFiles(folder)
    for each in (value, *(items if isinstance(items, list) else ())):
        if isinstance(each, dict):
            address = each.get(IMAGE_URL)
            if isinstance(address, str) and address[:20].lstrip().lower().startswith("data:") and IMAGE not in each:
                each[IMAGE] = each.pop(IMAGE_URL)
            if isinstance(each.get(IMAGE), str):
                each[IMAGE] = files.write(each.pop(IMAGE))
            references = each.get(REFERENCES)
            for texts in references.values() if isinstance(references, dict) else (references,):
                if isinstance(texts, list):
                    texts[:] = [files.write(text) if isinstance(text, str) else text for text in texts]
    return value


def unpack_limited(body: Path, folder: Path, memory_bytes: int, cpu_seconds: float) -> Any:
    """`unpack` in a child process, which ends itself beyond its limits of memory and CPU time."""
    with limited(memory_bytes, cpu_seconds):
        return unpack(body, folder)


class _ImageFiles:
    """Writes base64 texts to numbered files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def write(self, text: str) -> ImageFile | NoImage:
        """Decodes one text into a new file. Raises ValueError where there were too many before."""
        prefix = _DATA_URL.match(text)
        if prefix is None and text[:20].lstrip().lower().startswith("data:"):
            return NoImage("A data: URL must be written in base64: data:image/png;base64,…")
        if _ADDRESS.match(text):
            return NoImage(
                "This is an address; give it as `image_url`, or the content of the file in base64 as `image`."
            )
        letters = text.encode()[prefix.end() if prefix else 0 :].translate(_URL_SAFE, _BLANKS).rstrip(b"=")
        try:
            data = base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
        except binascii.Error:
            return NoImage("The text is not base64.")
        if self._count == _MAX_IMAGES:
            raise ValueError(f"It has more than {_MAX_IMAGES:,} images.")
        path = self._folder / str(self._count)
        self._count += 1
        path.write_bytes(data)
        return ImageFile(path, len(data))


def _members(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("An object has two members of the same name.")
        members[name] = value
    return members


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON.")


def _fraction(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("A number is too large.")
    return number


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"A whole number has more than {_MAX_DIGITS} digits.")
    return int(text)


def _check(value: Any) -> None:
    rest = [(value, 1)]
    while rest:
        each, depth = rest.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"It is nested more than {MAX_DEPTH} levels deep.")
        if isinstance(each, str):
            _check_text(each)
        elif isinstance(each, dict):
            for name in each:
                _check_text(name)
            rest += [(member, depth + 1) for member in each.values()]
        elif isinstance(each, list):
            rest += [(member, depth + 1) for member in each]


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("A text contains the character NUL.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("A text contains half of a surrogate pair.")
