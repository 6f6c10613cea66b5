"""Files whose parts cost more than their pixels: each is refused before it is decoded, at once."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from attribution.errors import ImageError, ImageTooLarge, UndecodableImage
from attribution.file_parts import MAX_CHUNKS, MAX_SCANS
from attribution.image import ImageLimits, load
from tests.app.images import encoded, noise


def with_scans(extra: int) -> bytes:
    """A valid progressive JPEG whose last scan is there so many times more."""
    data = encoded(noise(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * extra + b"\xff\xd9"


def with_chunks(count: int) -> bytes:
    """A PNG with so many empty chunks before its pixels."""
    data = encoded(noise(), "PNG")
    chunk = struct.pack(">I4sI", 0, b"prVt", zlib.crc32(b"prVt"))
    return data[:33] + chunk * count + data[33:]


def gif(frames: int) -> bytes:
    """A GIF with so many frames of one pixel."""
    one = encoded(Image.new("L", (1, 1)), "GIF")
    start = one.index(b"\x2c\0\0\0\0")
    return one[:start] + one[start:-1] * frames + b"\x3b"


def tiff(pages: int) -> bytes:
    """A TIFF with so many pages without entries after its first, the last of which is the first again."""
    data = bytearray(encoded(noise(8, 8), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, len(data))
    for _ in range(pages - 1):
        data += struct.pack("<HI", 0, len(data) + 6)
    return bytes(data + struct.pack("<HI", 0, 0))


def test_scans_are_counted_before_they_are_decoded():
    """As many as the limit are decoded; a file with more, which took 28 seconds, is refused at once."""
    own = with_scans(0).count(b"\xff\xda")
    assert load(io.BytesIO(with_scans(MAX_SCANS - own))).width == 64
    hostile = io.BytesIO(with_scans(20_000))
    began = time.process_time()
    with pytest.raises(ImageTooLarge, match="more than 100 scans"):
        load(hostile)
    assert time.process_time() - began < 1


def test_what_looks_like_scans_in_metadata_is_none():
    """An embedded preview or random bytes in a segment are not counted."""
    data = encoded(noise(64, 64), "JPEG", progressive=True)
    segment = b"\xff\xe5" + struct.pack(">H", 60_002) + b"\xff\xda" * 30_000
    assert load(io.BytesIO(data[:2] + segment + data[2:])).width == 64


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (with_chunks(1_000_000), "20,000 chunks"),
        (gif(500_000), "1,000 frames"),
        (tiff(500_000), "1,000 pages"),
    ],
    ids=["PNG", "GIF", "TIFF"],
)
def test_other_parts_are_counted_too(file: bytes, sentence: str):
    """In each format that a parser walks through part by part; less than a second of CPU time."""
    began = time.process_time()
    with pytest.raises(ImageTooLarge, match=sentence):
        load(io.BytesIO(file))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("file", [with_chunks(MAX_CHUNKS // 2), gif(900)], ids=["PNG", "GIF"])
def test_many_parts_within_the_limit_are_accepted(file: bytes):
    """They are decoded as before."""
    assert load(io.BytesIO(file)).frames in (1, 900)


def test_a_tiff_of_several_pages_is_accepted():
    """Up to the limit of frames, and not beyond."""
    buffer = io.BytesIO()
    pages = [noise(8, 8, seed=k) for k in range(9)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    assert load(io.BytesIO(buffer.getvalue())).frames == 9
    with pytest.raises(ImageTooLarge):
        load(io.BytesIO(buffer.getvalue()), ImageLimits(max_frames=8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF"])
def test_a_file_that_is_cut_off_is_the_decoders_to_judge(kind: str):
    """Counting parts raises nothing of its own, wherever a file ends."""
    whole = encoded(noise(40, 40), kind)
    for length in range(12, len(whole), max(1, len(whole) // 60)):
        try:
            load(io.BytesIO(whole[:length]))
        except UndecodableImage:
            continue
        except ImageError as error:
            raise AssertionError(f"{kind} cut at {length}: {error}") from error
