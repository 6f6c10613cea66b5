"""Text behind the end of an image: no program that shows the image reads it, and anyone can append it to any file.

It is reported as standing there, and is not counted as a statement of the file.
"""

from dataclasses import replace

from attribution.evidence.finding import Finding, Trust
from attribution.evidence.generators import interpretations
from attribution.evidence.png import MAX_TEXT_BYTES, SIGNATURE, read_png
from attribution.evidence.texts import Texts

_CAVEAT = "It stands behind the end of the image, where anyone can append text to any file, so it is not counted."
_SEGMENT_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9


def trailer_findings(data: bytes, kind: str) -> tuple[Finding, ...]:
    """What a known generator's text behind the image's end would say, with `says_ai` false."""
    trailer = data[_end(data, kind) :][:MAX_TEXT_BYTES]
    if not trailer.strip(b"\0 \r\n\t") or trailer.startswith(b"\xff\xd8"):  # the next image of an MPO
        return ()
    pairs = read_png(trailer, len(SIGNATURE) if trailer.startswith(SIGNATURE) else 0).texts
    if not pairs:
        try:
            pairs = [("text", trailer.strip(b"\0").decode())]
        except UnicodeDecodeError:
            return ()
    texts = Texts("after the end of the image:", pairs, trust=Trust.WEAK, caveat=_CAVEAT)
    return tuple(replace(finding, says_ai=False) for finding in interpretations(texts))


def _end(data: bytes, kind: str) -> int:
    """Where the image ends; the end of the file where that is not known."""
    if kind == "PNG":
        return read_png(data).end
    if kind == "WEBP":
        size = int.from_bytes(data[4:8], "little")
        return 8 + size + size % 2
    if kind in ("JPEG", "MPO"):
        return _end_of_jpeg(data)
    if kind == "GIF":
        return _end_of_gif(data)
    if kind == "BMP":
        return int.from_bytes(data[2:6], "little") or len(data)
    return len(data)


def _end_of_jpeg(data: bytes) -> int:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _EOI:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 if marker in _SEGMENT_WITHOUT_LENGTH else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SOS:
            at = _end_of_scan(data, at)
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else len(data)


def _end_of_scan(data: bytes, at: int) -> int:
    """The next marker that is neither an escaped byte nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 >= len(data):
            break
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7 and data[at + 1] != 0xFF:
            return at
        at += 1 if data[at + 1] == 0xFF else 2
    return len(data)


def _end_of_gif(data: bytes) -> int:
    at = 13 + (3 << (data[10] % 8 + 1) if data[10] & 0x80 else 0)
    while at < len(data):
        block = data[at]
        if block == 0x3B:
            return at + 1
        if block == 0x21:
            at += 2
        elif block == 0x2C and at + 10 <= len(data):
            at += 11 + (3 << (data[at + 9] % 8 + 1) if data[at + 9] & 0x80 else 0)
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return len(data)
