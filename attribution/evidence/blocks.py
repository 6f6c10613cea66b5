"""Finds the blocks of an image file that contain statements: text, EXIF, XMP and IPTC. Other modules interpret them.

PNG is read chunk by chunk, because its text may be a decompression bomb and may come after the pixels, which need not
be decoded; of the other formats Pillow reads the header.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TypeVar

from PIL import Image, IptcImagePlugin

from attribution.evidence.finding import Kind
from attribution.image import FORMATS

T = TypeVar("T")

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = "XML:com.adobe.xmp"
# The longest texts are ComfyUI's workflows, with some hundred kilobytes.
_MAX_TEXT_BYTES = 2_000_000
_MAX_TEXTS_BYTES = 8_000_000
_MAX_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a file. `texts` are (keyword, text); `unread` are the kinds of blocks that could not be read."""

    format: str
    texts: tuple[tuple[str, str], ...] = ()
    exif: Image.Exif = field(default_factory=Image.Exif)
    xmp: bytes | None = None
    iptc: Mapping[tuple[int, int], object] = field(default_factory=dict)
    unread: tuple[Kind, ...] = ()


def find_blocks(data: bytes) -> Blocks:
    """The blocks of an image file. Raises what Pillow raises for a file that it cannot open."""
    if data.startswith(PNG_SIGNATURE):
        return _of_png(data)
    # The BytesIO stays open when the image is closed: a TIFF's EXIF is read from it later.
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        unread: list[Kind] = []
        kind = image.format or ""
        comment, xmp = image.info.get("comment"), image.info.get("xmp")
        exif = _tried(image.getexif, Image.Exif(), Kind.EXIF, unread)
        iptc = None
        if kind in ("JPEG", "TIFF"):
            iptc = _tried(lambda: IptcImagePlugin.getiptcinfo(image), None, Kind.IPTC, unread)
        return Blocks(
            format=kind,
            texts=(("comment", _text(comment)),) if isinstance(comment, bytes) else (),
            exif=exif,
            xmp=xmp if isinstance(xmp, bytes) else None,
            iptc=iptc or {},
            unread=tuple(unread),
        )


def _tried(read: Callable[[], T], otherwise: T, kind: Kind, unread: list[Kind]) -> T:
    try:
        return read()
    except Exception:  # Pillow's parsers raise many kinds of exceptions for broken blocks
        unread.append(kind)
        return otherwise


def _of_png(data: bytes) -> Blocks:
    texts: list[tuple[str, str]] = []
    unread: list[Kind] = []
    exif = Image.Exif()
    xmp, left = None, _MAX_TEXTS_BYTES
    for chunk, body in _chunks(data):
        if chunk == b"eXIf":
            _tried(partial(exif.load, body), None, Kind.EXIF, unread)
        elif chunk in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text = _png_text(chunk, body, min(left, _MAX_TEXT_BYTES))
            if text is None:
                unread.append(Kind.TEXT)
            elif keyword == _XMP_KEYWORD:
                xmp = text
            else:
                texts.append((keyword, _latin(text) if chunk == b"tEXt" else _text(text)))
            left -= len(text or b"")
    return Blocks("PNG", tuple(texts), exif, xmp, unread=tuple(dict.fromkeys(unread)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of each chunk; ends at the end of the file, also within a chunk."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if len(kind) < 4 or at + 8 + size > len(data):
            return
        yield kind, b"" if kind == b"IDAT" else data[at + 8 : at + 8 + size]
        at += size + 12


def _png_text(kind: bytes, body: bytes, limit: int) -> tuple[str, bytes | None]:
    """(keyword, text); the text is None if it is longer than `limit` bytes or cannot be inflated."""
    keyword, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if packed:
        rest = rest[1:]  # the compression method: only one exists
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # method, language, translated keyword
    text: bytes | None = rest
    if packed:
        text = _inflate(rest, limit)
    return _latin(keyword[:80]), text if text is not None and len(text) <= limit else None


def _inflate(packed: bytes, limit: int) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error:
        return None


def _text(data: bytes) -> str:
    return data[:_MAX_TEXT_BYTES].decode("utf-8", "replace")


def _latin(data: bytes) -> str:
    """The specification demands Latin-1; several tools write UTF-8 instead."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
