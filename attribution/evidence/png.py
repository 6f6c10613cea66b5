"""Reads a PNG chunk by chunk: its texts, and the blocks that converters store in it as hexadecimal "raw profiles".

Text may be a decompression bomb, and may come after the pixels, which need not be decoded.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from attribution.evidence.exif import decoded

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT_BYTES = 2_000_000
_XMP_KEYWORD = "XML:com.adobe.xmp"
_PROFILE = "Raw profile type "
_APP1_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# The longest texts are ComfyUI's workflows, with some hundred kilobytes.
_MAX_TEXTS_BYTES = 8_000_000
_MAX_CHUNKS = 100_000


@dataclass(slots=True)
class PngBlocks:
    """`broken` texts could not be inflated or are too long; `end` is where the image ends."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    iptc: list[bytes] = field(default_factory=list)
    broken: bool = False
    end: int = 0


def read_png(data: bytes, start: int = len(SIGNATURE)) -> PngBlocks:
    """The blocks of the chunks from `start` up to the image's end, or to the end of the file."""
    blocks, left = PngBlocks(end=len(data)), _MAX_TEXTS_BYTES
    for chunk, body, end in _chunks(data, start):
        if chunk == b"eXIf":
            blocks.exif.append(body)
        elif chunk in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text = _text(chunk, body, min(left, MAX_TEXT_BYTES))
            left -= len(text or b"")
            if text is None:
                blocks.broken = True
            elif keyword == _XMP_KEYWORD:
                blocks.xmp.append(text)
            elif keyword.startswith(_PROFILE):
                _add_profile(blocks, keyword.removeprefix(_PROFILE).lower(), text)
            else:
                blocks.texts.append((keyword, decoded(text)))
        elif chunk == b"IEND":
            blocks.end = end
            break
    return blocks


def _add_profile(blocks: PngBlocks, kind: str, text: bytes) -> None:
    """ImageMagick's form: a line break, the name, the length, and hexadecimal digits in lines."""
    try:
        _, length, digits = text.strip().split(None, 2)
        profile = bytes.fromhex(digits.decode("ascii"))[: int(length)]
    except ValueError:  # UnicodeDecodeError is one
        blocks.broken = True
        return
    if kind == "xmp" or profile.startswith(_APP1_XMP):
        blocks.xmp.append(profile.removeprefix(_APP1_XMP))
    elif kind in ("exif", "app1"):
        blocks.exif.append(profile)
    elif kind in ("iptc", "8bim"):
        blocks.iptc.append(profile)


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, bytes, int]]:
    """(type, body, end) of each chunk; ends at the end of the file, also within a chunk."""
    for _ in range(_MAX_CHUNKS):
        size = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if len(kind) < 4 or at + 8 + size > len(data):
            return
        yield kind, b"" if kind == b"IDAT" else data[at + 8 : at + 8 + size], at + 12 + size
        at += size + 12


def _text(kind: bytes, body: bytes, limit: int) -> tuple[str, bytes | None]:
    """(keyword, text); the text is None if it is longer than `limit` bytes or cannot be inflated."""
    keyword, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if packed:
        rest = rest[1:]  # the compression method: only one exists
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # method, language, translated keyword
    text = inflate(rest, limit) if packed else rest
    return decoded(keyword[:80]), text if text is not None and len(text) <= limit else None


def inflate(packed: bytes, limit: int, wbits: int = zlib.MAX_WBITS) -> bytes | None:
    """At most one byte more than `limit`; None for data that is not compressed."""
    try:
        return zlib.decompressobj(wbits).decompress(packed, limit + 1)
    except zlib.error:
        return None
