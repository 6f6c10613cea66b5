"""Files that are not quite images, and uploads that are not quite uploads: cut, flipped, lying, bombs, impostors."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.app.images import FORMATS, encoded, noise

IMPOSTORS = {
    "text": b"This is not an image at all.\n" * 20,
    "BM-text": b"BM stands for many things, not only for bitmaps." * 3,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    "html": b"<!doctype html><script>alert(1)</script><img src=x onerror=alert(1)>",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
    "gzip": b"\x1f\x8b\x08" + bytes(64),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(rm -rf /) print\nshowpage",
    "xbm": b"#define x_width 8\n#define x_height 8\nstatic char x_bits[] = {0,0,0,0,0,0,0,0};",
    "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64),
    "mp4": b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42" + bytes(64),
    "ico": b"\x00\x00\x01\x00\x01\x00" + bytes(64),
    "psd": b"8BPS\x00\x01" + bytes(64),
    "jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(64),
    "wav": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64),
    "nul": b"\0",
    "nuls": bytes(5_000),
    "ff": b"\xff" * 5_000,
    "pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
}


def odd_files() -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each; the same every time."""
    yield "empty", b""
    yield from IMPOSTORS.items()
    yield "zip", _zip()
    for kind in FORMATS:
        whole = encoded(noise(), kind)
        for share in (0.02, 0.1, 0.3, 0.6, 0.9, 0.99):
            yield f"{kind}-cut-{share}", whole[: max(1, int(len(whole) * share))]
        yield f"{kind}-head-only", whole[:12]
        yield f"{kind}-trailing-junk", whole + b"\0junk" * 400
        yield f"{kind}-zeroed-middle", whole[: len(whole) // 3] + bytes(len(whole) // 3) + whole[2 * len(whole) // 3 :]
        generator = random.Random(kind)
        for index in range(6):
            yield f"{kind}-flipped-{index}", _flipped(whole, generator, 1 if index < 3 else 40)
    yield from _lies()
    yield from _bombs()
    yield from _animations()
    yield from _tags()


def _flipped(data: bytes, generator: random.Random, bits: int) -> bytes:
    changed = bytearray(data)
    for _ in range(bits):
        changed[generator.randrange(12, len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("image.png", encoded())
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, depth: int = 8, color: int = 0, extra: bytes = b"") -> bytes:
    """A PNG with the given header."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _lies() -> Iterator[tuple[str, bytes]]:
    few = zlib.compress(bytes(100))
    yield "png-huge-header", png(2**31 - 1, 2**31 - 1, few)
    yield "png-no-width", png(0, 10, few)
    yield "png-odd-depth", png(10, 10, few, depth=7)
    yield "png-not-zlib", png(10, 10, b"garbage")
    bmp = bytearray(encoded(noise(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield "bmp-huge-header", bytes(bmp)
    bmp[18:26] = struct.pack("<ii", -5, -5)
    yield "bmp-negative", bytes(bmp)
    gif = bytearray(encoded(noise(), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    yield "gif-huge-screen", bytes(gif)
    jpeg = bytearray(encoded(noise(), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    yield "jpeg-huge-header", bytes(jpeg)
    jpeg[at + 5 : at + 9] = b"\x00\x00\x00\x00"
    yield "jpeg-no-size", bytes(jpeg)
    webp = bytearray(encoded(noise(), "WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\xff"
    yield "webp-huge-header", bytes(webp)
    yield "webp-long-riff", b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(80)


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "png-bomb", png(20_000, 20_000, zlib.compress(bytes(20_001) * 2_000, 9))
    yield "png-just-below-the-cap", encoded(Image.new("L", (7_000, 7_000)), "PNG")
    yield "gif-bomb", encoded(Image.new("P", (12_000, 12_000)), "GIF")
    yield "tiff-bomb", encoded(Image.new("1", (30_000, 30_000)), "TIFF", compression="group4")
    yield "webp-bomb", encoded(Image.new("RGB", (9_000, 9_000)), "WEBP", lossless=True, method=0)
    text = zlib.compress(bytes(100_000_000), 9)
    yield "png-text-bomb", png(8, 8, zlib.compress(bytes(72)), extra=_chunk(b"zTXt", b"Comment\0\0" + text))
    yield "png-profile-bomb", png(8, 8, zlib.compress(bytes(72)), extra=_chunk(b"iCCP", b"p\0\0" + text))
    yield "one-pixel-high", encoded(noise(30_000, 1), "PNG")
    yield "one-pixel-wide", encoded(noise(1, 30_000), "PNG")
    yield "one-pixel", encoded(noise(1, 1), "PNG")


def _animations() -> Iterator[tuple[str, bytes]]:
    frames = [noise(4, 4, "L", seed=index) for index in range(1_001)]  # equal neighbors would be merged
    yield "gif-1001-frames", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    pages = [Image.new("L", (4, 4), index) for index in range(30)]
    yield "tiff-30-pages", encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    yield "webp-30-frames", encoded(pages[0], "WEBP", save_all=True, append_images=pages[1:])
    yield "apng", encoded(pages[0], "PNG", save_all=True, append_images=pages[1:])


def _tags() -> Iterator[tuple[str, bytes]]:
    inner = encoded(noise(), "TIFF")
    yield "tiff-in-tiff", encoded(noise(), "TIFF", tiffinfo={700: inner})
    tiff = bytearray(inner)
    first = struct.unpack_from("<I", tiff, 4)[0]
    entries = struct.unpack_from("<H", tiff, first)[0]
    struct.pack_into("<I", tiff, first + 2 + 12 * entries, first)
    yield "tiff-directory-loop", bytes(tiff)
    struct.pack_into("<I", tiff, 4, 0xFFFFFFF0)
    yield "tiff-directory-nowhere", bytes(tiff)
    yield "tiff-many-entries", b"II*\0\x08\0\0\0\xff\xff" + bytes(2_000)
    exif = Image.Exif()
    exif[0x0112] = 99
    yield "jpeg-odd-orientation", encoded(noise(), "JPEG", exif=exif)
    yield "jpeg-broken-exif", encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    yield "jpeg-broken-profile", encoded(noise(), "JPEG", icc_profile=b"not a profile" * 30)
