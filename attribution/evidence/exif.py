"""EXIF: the program, the camera and the texts that it has, in all their encodings.

The tags are read here and not by Pillow, which takes every text for Latin-1 and drops the type for UTF-8 that EXIF 3
added. A TIFF file has the same structure, and is read as its own EXIF.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.products import known_generator
from attribution.evidence.texts import PREFIX
from attribution.evidence.vocabulary import sentence

_NAMES = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x8298: "Copyright",
    0x9286: "UserComment",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
    0x9C9D: "XPAuthor",
    0x9C9E: "XPKeywords",
    0x9C9F: "XPSubject",
    0xA436: "ImageTitle",
    0xA43B: "ImageEditingSoftware",
}
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_BYTE, _ASCII, _UNDEFINED, _UTF8 = 1, 2, 7, 129
_MAX_ENTRIES = 1_000
_MAX_BYTES = 4_000_000
_CODES = {b"UNICODE\0": "utf-16", b"ASCII\0\0\0": "utf-8", b"JIS\0\0\0\0\0": "iso2022_jp", bytes(8): "utf-8"}

Tags = Mapping[str, str]
ByteOrder = Literal["little", "big"]


def exif_tags(data: bytes) -> dict[str, str]:
    """The texts by the name of their tag. Raises ValueError for data without the structure of EXIF."""
    start = next((at for at in range(13) if data[at : at + 4] in (b"II*\0", b"MM\0*")), None)
    if start is None:
        raise ValueError
    data = data[start:]
    order: ByteOrder = "little" if data.startswith(b"II") else "big"
    found: dict[str, str] = {}
    for tag, kind, value in _entries(data, order, int.from_bytes(data[4:8], order), {_EXIF_IFD}):
        name = _NAMES.get(tag)
        if name is not None and name not in found and (text := _text(tag, kind, value, order).strip("\0 ")):
            found[name] = text
    return found


def exif_findings(tags: Tags) -> tuple[Finding, ...]:
    """At most one finding; none if no program or person is named."""
    tags = {name: text for name, text in tags.items() if not PREFIX.match(text)}
    details = pairs(
        software=tags.get("Software", tags.get("ImageEditingSoftware")),
        make=tags.get("Make"),
        camera=tags.get("Model"),
        artist=tags.get("Artist", tags.get("XPAuthor")),
    )
    makers = exif_makers(tags)
    known = known_generator(makers, [tags.get(name) for name in ("ImageDescription", "UserComment", "XPComment")])
    if not details and not known:
        return ()
    generator = known or clean(tags.get("Software")) or None
    named = generator or clean(" ".join(text for name, text in details if name in ("make", "camera"))) or None
    return (
        Finding(
            Kind.EXIF,
            "EXIF",
            sentence(named),
            Trust.SELF_DECLARED,
            SELF_DECLARED,
            generator=generator,
            says_ai=known is not None,
            details=details,
        ),
    )


def exif_makers(tags: Tags) -> list[str]:
    """The texts that name a program or a person."""
    names = ("Software", "ImageEditingSoftware", "Artist", "XPAuthor", "Make", "Model", "Copyright")
    return [tags[name] for name in names if name in tags and not PREFIX.match(tags[name])]


def _entries(data: bytes, order: ByteOrder, at: int, nested: set[int]) -> Iterator[tuple[int, int, bytes]]:
    """(tag, type, value) of a directory and of those within it; ends where the data ends."""
    count = int.from_bytes(data[at : at + 2], order)
    if not count or not 8 <= at <= len(data) - 2:
        raise ValueError
    for entry in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, kind = (int.from_bytes(data[entry + part : entry + part + 2], order) for part in (0, 2))
        size, offset = (int.from_bytes(data[entry + part : entry + part + 4], order) for part in (4, 8))
        if tag in nested:
            yield from _entries(data, order, offset, nested - {tag})
        elif kind in (_BYTE, _ASCII, _UNDEFINED, _UTF8) and tag in _NAMES and size <= _MAX_BYTES:
            yield tag, kind, data[entry + 8 : entry + 8 + size] if size <= 4 else data[offset : offset + size]


def _text(tag: int, kind: int, value: bytes, order: ByteOrder) -> str:
    if tag == _USER_COMMENT:
        code = value[:8]
        text = value[8:] if code in _CODES else value
        # Half of a Latin text in UTF-16 is zeros; some programs write it under another code, or under none.
        if code == b"UNICODE\0" or 4 * text.rstrip(b"\0").count(0) > len(text):
            return utf16(text, order)
        return decoded(text, _CODES.get(code, "utf-8"))
    if kind == _BYTE and 0x9C9B <= tag <= 0x9C9F:
        return value.decode("utf-16-le", "replace")
    return decoded(value)


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """The text; Latin-1 where it is not in the encoding."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def utf16(data: bytes, order: ByteOrder) -> str:
    """A text marked UNICODE: UTF-16 in either byte order, or UTF-8, as EXIF 3 allows.

    Text in Latin letters shows the order by its zeros, whatever the file's order is; without zeros it is UTF-8 if it is
    valid as that, and else the file's order holds.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    even, odd = data[::2].count(0), data[1::2].count(0)
    if b"\0" not in data.rstrip(b"\0"):
        try:
            return data.rstrip(b"\0").decode("utf-8-sig")
        except UnicodeDecodeError:
            pass
    little = odd > even if odd != even else order == "little"
    return data.decode("utf-16-le" if little else "utf-16-be", "replace")
