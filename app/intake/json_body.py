"""Parses a JSON body strictly and takes the images out of it. A large body is parsed in a child process.

Refused is what parsers disagree about, what Postgres cannot store, and what is large without being an image. The
meaning of members is not checked here. Imports nothing of the service, because the child processes import this module.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.intake.spool import ImageFile

IMAGE = "image"
IMAGE_URL = "image_url"
REFERENCES = "references"
ITEMS = "items"
MAX_DEPTH = 32
_MAX_DIGITS = 40
# Of one body; each becomes a file.
_MAX_IMAGES = 2_000
# Of one body, apart from its images. Metadata may have 4,096 bytes, so no object in it has more members than this.
_MAX_MEMBERS, _MAX_TEXT = 2_048, 16_384
_MAX_VALUES, _MAX_CHARACTERS = 20_000, 1_000_000
# Before anything is parsed: what a body within these limits may have at most, but for texts that are mostly commas.
_MAX_SEPARATORS = 100_000
_CHUNK = 1 << 20
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


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The value of a body without its images, and for each image its place, and its size or what is wrong with it."""

    value: Any
    images: list[tuple[list[str | int], int | str]]

    def document(self) -> bytes:
        """As JSON, to be read by `Unpacked.parse`."""
        return json.dumps([self.value, self.images]).encode()

    @classmethod
    def parse(cls, document: bytes) -> "Unpacked":
        """Raises ValueError."""
        value, images = json.loads(document)
        return cls(value, [(place, made) for place, made in images])

    def with_images(self, images: Path) -> Any:
        """The value with an ImageFile or a NoImage in place of each image; they lie one behind the other in a file.

        The files are written beside it. Raises OSError; ValueError, LookupError or TypeError where the parts disagree.
        """
        sizes = [made for _, made in self.images if isinstance(made, int)]
        if sum(sizes) != images.stat().st_size or any(size < 0 for size in sizes):
            raise ValueError("the images are not those that the body has")
        files = iter(_split(images, sizes))
        for (*steps, last), made in self.images:
            container = self.value
            for step in steps:
                container = container[step]
            container[last] = next(files) if isinstance(made, int) else NoImage(made)
        return self.value


def unpack(body: bytes, write: Callable[[bytes], object]) -> Unpacked:
    """Parses a JSON body and passes the bytes of each image to `write`.

    Images are the text of `image`, a data: URL in `image_url`, and the texts in the lists of `references` (or in
    `references` itself, where that is a list), in the body and in each of its `items`.

    Raises ValueError with a sentence where the body is not JSON, has far too many images, or is large without them.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_SEPARATORS:
        raise ValueError("It has far too many members.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("It is not UTF-8.") from None
    value = parse(text)
    images: list[tuple[list[str | int], int | str]] = []
    for place, container in _image_places(value):
        if len(images) == _MAX_IMAGES:
            raise ValueError(f"It has more than {_MAX_IMAGES:,} images.")
        key = place[-1]
        made = _image(container[key])
        if isinstance(made, bytes):
            write(made)
        images.append((place, len(made) if isinstance(made, bytes) else made.detail))
        container[key] = None
    _check_size(value)
    return Unpacked(value, images)


def _image_places(value: Any) -> Iterator[tuple[list[str | int], Any]]:
    """The place of each text that is an image, with the object or list that it is in."""
    items = value.get(ITEMS) if isinstance(value, dict) else None
    bodies: list[tuple[list[str | int], Any]] = [([], value)]
    bodies += [([ITEMS, k], item) for k, item in enumerate(items if isinstance(items, list) else ())]
    for place, body in bodies:
        if not isinstance(body, dict):
            continue
        address = body.get(IMAGE_URL)
        if isinstance(address, str) and address[:20].lstrip().lower().startswith("data:") and IMAGE not in body:
            body[IMAGE] = body.pop(IMAGE_URL)
        if isinstance(body.get(IMAGE), str):
            yield [*place, IMAGE], body
        references = body.get(REFERENCES)
        lists: Any = references.items() if isinstance(references, dict) else ((None, references),)
        for source, texts in lists:
            within = [] if source is None else [source]
            for k, text in enumerate(texts if isinstance(texts, list) else ()):
                if isinstance(text, str):
                    yield [*place, REFERENCES, *within, k], texts


def _image(text: str) -> bytes | NoImage:
    """The bytes that a text encodes."""
    prefix = _DATA_URL.match(text)
    if prefix is None and text[:20].lstrip().lower().startswith("data:"):
        return NoImage("A data: URL must be written in base64: data:image/png;base64,…")
    if _ADDRESS.match(text):
        return NoImage("This is an address; give it as `image_url`, or the content of the file in base64 as `image`.")
    letters = text.encode()[prefix.end() if prefix else 0 :].translate(_URL_SAFE, _BLANKS).rstrip(b"=")
    try:
        return base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
    except binascii.Error:
        return NoImage("The text is not base64.")


def _split(images: Path, sizes: Sequence[int]) -> list[ImageFile]:
    """Numbered files with so many bytes each."""
    files = [ImageFile(images.with_name(str(k)), size) for k, size in enumerate(sizes)]
    if len(files) == 1:
        images.rename(files[0].path)
        return files
    with images.open("rb") as source:
        for file in files:
            with file.path.open("wb") as target:
                rest = file.size
                while rest and (chunk := source.read(min(rest, _CHUNK))):
                    rest -= target.write(chunk)
    return files


def _check_size(value: Any) -> None:
    """Raises ValueError for a body that is large without its images."""
    values = characters = 0
    rest = [value]
    while rest:
        each = rest.pop()
        values += 1
        texts = [each] if isinstance(each, str) else list(each) if isinstance(each, dict) else []
        if isinstance(each, dict | list):
            if len(each) > _MAX_MEMBERS:
                raise ValueError(f"An object or a list has more than {_MAX_MEMBERS:,} members.")
            rest += each.values() if isinstance(each, dict) else each
        for text in texts:
            characters += len(text)
            if len(text) > _MAX_TEXT:
                raise ValueError(f"A text that is not an image has more than {_MAX_TEXT:,} characters.")
        if values > _MAX_VALUES or characters > _MAX_CHARACTERS:
            raise ValueError(
                f"Without its images it has more than {_MAX_VALUES:,} values or {_MAX_CHARACTERS:,} characters."
            )


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
