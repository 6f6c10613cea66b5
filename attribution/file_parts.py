"""The parts of an image file that cost time each: scans, frames, pages, chunks. Counted before anything is decoded.

The pixels of a file say little about what it costs: a JPEG of 600 kB with 500 scans took 28 seconds. Each count stops
as soon as it is above its limit.
"""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from attribution.errors import ImageTooLarge

# libjpeg's own script for progressive files has ten.
MAX_SCANS = 100
# Of a PNG: 8 kB each, as most programs write them, are 160 MB.
MAX_CHUNKS = 20_000

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# What ends entropy-coded data: a marker that is neither a stuffed zero nor a restart.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)


def check_parts(file: BinaryIO, kind: str, max_frames: int) -> None:
    """Raises ImageTooLarge for a file with too many parts; the file is left at its beginning. A broken one passes.

    Args:
        file: The file, at its beginning.
        kind: Its format, one of `file_kinds.FORMATS`.
        max_frames: The most frames of an animation, or pages, that are accepted.
    """
    limits = {
        "JPEG": (_jpeg_scans, MAX_SCANS, "scans"),
        "PNG": (_png_chunks, MAX_CHUNKS, "chunks"),
        "GIF": (_gif_frames, max_frames, "frames"),
        "TIFF": (_tiff_pages, max_frames, "pages"),
    }
    if kind not in limits:  # WebP and AVIF say how many frames they have, which is checked when they are opened
        return
    parts, most, name = limits[kind]
    try:
        for count, _ in enumerate(parts(file), 1):
            if count > most:
                raise ImageTooLarge(f"The image has more than {most:,} {name}, which takes too long to decode.")
    except (struct.error, IndexError):
        pass  # cut off: the decoder says so
    finally:
        file.seek(0)


def _jpeg_scans(file: BinaryIO) -> Iterator[None]:
    """The scans of the first image in the file."""
    data = file.read()
    if data.count(b"\xff\xda") <= MAX_SCANS:  # also in metadata; a hundred times as fast as what follows
        return
    at = 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            return
        if marker == _START_OF_SCAN:
            yield
        if marker not in (0x01, 0xD8):
            at += int(struct.unpack_from(">H", data, at)[0])


def _png_chunks(file: BinaryIO) -> Iterator[None]:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        yield
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)


def _gif_frames(file: BinaryIO) -> Iterator[None]:
    """The frames; blocks of other kinds are passed over."""
    data = file.read()
    at = 13 + _colors(data[10])
    while data[at] in (0x21, 0x2C):
        if data[at] == 0x2C:
            yield
            at += 10 + _colors(data[at + 9]) + 1
        else:
            at += 2
        while size := data[at]:
            at += size + 1
        at += 1


def _colors(flags: int) -> int:
    """The bytes of a table of colors."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _tiff_pages(file: BinaryIO) -> Iterator[None]:
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if head[2] == 43 or head[3] == 43:  # BigTIFF
        at_format, count_format, entry = f"{order}Q", f"{order}Q", 20
        (at,) = struct.unpack_from(at_format, head, 8)
    else:
        at_format, count_format, entry = f"{order}I", f"{order}H", 12
        (at,) = struct.unpack_from(at_format, head, 4)
    while at:
        yield
        file.seek(at)
        (entries,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
        file.seek(entries * entry, 1)
        (at,) = struct.unpack(at_format, file.read(struct.calcsize(at_format)))
