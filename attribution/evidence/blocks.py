"""Finds the blocks of an image file that contain statements: text, EXIF, XMP and IPTC. Other modules read them.

PNG is read chunk by chunk; of the other formats Pillow reads the header.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

from PIL import Image, IptcImagePlugin, TiffImagePlugin

from attribution.evidence.exif import decoded
from attribution.evidence.finding import Kind
from attribution.evidence.png import MAX_TEXT_BYTES, SIGNATURE, read_png
from attribution.file_kinds import FORMATS

T = TypeVar("T")

_IPTC_RESOURCE = 0x0404
_RECORD = b"\x1c"


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a file as bytes, several where the file has several. `texts` are (keyword, text).

    `unread` are the kinds of blocks that could not be read.
    """

    format: str
    texts: Sequence[tuple[str, str]] = ()
    exif: Sequence[bytes] = ()
    xmp: Sequence[bytes] = ()
    iptc: Sequence[bytes] = ()
    unread: Sequence[Kind] = ()

    @property
    def media_type(self) -> str:
        """Of the file. An MPO is a JPEG followed by others."""
        return "image/jpeg" if self.format == "MPO" else f"image/{self.format.lower()}"


def find_blocks(data: bytes) -> Blocks:
    """The blocks of an image file. Raises what Pillow raises for a file that it cannot open."""
    if data.startswith(SIGNATURE):
        png = read_png(data)
        return Blocks("PNG", png.texts, png.exif, png.xmp, png.iptc, [Kind.TEXT] if png.broken else [])
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        unread: list[Kind] = []
        kind = image.format or ""
        comment, exif, xmp = (image.info.get(name) for name in ("comment", "exif", "xmp"))
        if kind == "TIFF":
            exif = data
        iptc = _tried(lambda: _iptc(image), b"", Kind.IPTC, unread)
        return Blocks(
            format=kind,
            texts=[("comment", decoded(comment[:MAX_TEXT_BYTES]))] if isinstance(comment, bytes) else [],
            exif=[exif] if isinstance(exif, bytes) and exif else [],
            xmp=[xmp] if isinstance(xmp, bytes) else [],
            iptc=[iptc] if iptc else [],
            unread=unread,
        )


def _iptc(image: Image.Image) -> bytes:
    """IIM data, from Photoshop's segment of a JPEG or from a tag of a TIFF; empty if there is none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        records = IptcImagePlugin.getiptcinfo(image) or {}
        return b"".join(
            _RECORD + bytes(record) + len(value).to_bytes(2, "big") + value
            for record, values in records.items()
            for value in (values if isinstance(values, list) else [values])
        )
    resources = image.info.get("photoshop", {})
    data = resources.get(_IPTC_RESOURCE, b"") if isinstance(resources, dict) else b""
    return data if isinstance(data, bytes) else b""


def _tried(read: Callable[[], T], otherwise: T, kind: Kind, unread: list[Kind]) -> T:
    try:
        return read()
    except Exception:  # Pillow's parsers raise many kinds of exceptions for broken blocks
        unread.append(kind)
        return otherwise
