"""Image files that say something about their origin, made on the spot."""

import gzip
import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.app.images import encoded, noise

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, last: bool = False) -> bytes:
    """A PNG with these chunks before its pixels, or after them."""
    plain = encoded(noise())
    at = plain.index(b"IEND" if last else b"IDAT") - 4
    return plain[:at] + b"".join(chunks) + plain[at:]


def png_texts(texts: dict[str, str]) -> bytes:
    """A PNG with uncompressed texts."""
    return png_with(*(chunk(b"tEXt", keyword.encode() + b"\0" + text.encode()) for keyword, text in texts.items()))


def with_xmp(attributes: str = "", elements: str = "", kind: str = "JPEG") -> bytes:
    """An image with an XMP packet."""
    packet = XMP.format(attributes=attributes, elements=elements).encode()
    return encoded(noise(), kind, **({"tiffinfo": {700: packet}} if kind == "TIFF" else {"xmp": packet}))


def with_exif(tags: dict[int, Any], comment: bytes | None = None, kind: str = "JPEG") -> bytes:
    """An image with EXIF tags, and a user comment as it stands in the file."""
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    return encoded(noise(), kind, exif=exif)


def with_iptc(records: dict[tuple[int, int], bytes]) -> bytes:
    """A JPEG with an IPTC-IIM block in Photoshop's segment."""
    iim = b"".join(b"\x1c" + bytes(record) + struct.pack(">H", len(value)) + value for record, value in records.items())
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iim)) + iim + b"\0" * (len(iim) % 2)
    body = b"Photoshop 3.0\0" + resource
    plain = encoded(noise(), "JPEG")
    return plain[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + plain[2:]


def animated_comment(text: bytes) -> bytes:
    """A GIF with a comment."""
    buffer = io.BytesIO()
    noise().save(buffer, "GIF", comment=text)
    return buffer.getvalue()


def exif_block(tags: dict[int, bytes], comment: bytes | None = None, order: str = "MM") -> bytes:
    """EXIF with texts as they stand in the file, in either byte order; `comment` is the user comment."""
    sign = ">" if order == "MM" else "<"
    entries = [(tag, 1 if 0x9C9B <= tag <= 0x9C9F else 2, value) for tag, value in sorted(tags.items())]
    nested = [] if comment is None else [(0x9286, 7, comment)]
    count = len(entries) + (1 if nested else 0)
    at = 8 + 2 + 12 * count + 4
    body, values = struct.pack(sign + "H", count), b""
    for tag, kind, value in entries:
        body += struct.pack(sign + "HHII", tag, kind, max(5, len(value)), at + len(values))
        values += value.ljust(5, b"\0")
    if nested:
        start = at + len(values)
        body += struct.pack(sign + "HHII", 0x8769, 4, 1, start)
        values += struct.pack(sign + "HHHII", 1, 0x9286, 7, max(5, len(comment or b"")), start + 2 + 12 + 4)
        values += bytes(4) + (comment or b"").ljust(5, b"\0")
    head = order.encode() + struct.pack(sign + "HI", 42, 8)
    return head + body + bytes(4) + values


def with_exif_block(block: bytes, kind: str = "JPEG") -> bytes:
    """An image with this EXIF."""
    if kind == "PNG":
        return png_with(chunk(b"eXIf", block))
    return encoded(noise(), kind, exif=b"Exif\0\0" + block)


def raw_profile(kind: str, data: bytes, packed: bool = True) -> bytes:
    """A PNG with a block in hexadecimal, as ImageMagick writes it."""
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\n{kind}\n{len(data):8}\n{lines}\n".encode()
    keyword = f"Raw profile type {kind}".encode()
    if packed:
        return png_with(chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(text)))
    return png_with(chunk(b"tEXt", keyword + b"\0" + text))


def jpeg_with_comment(text: bytes) -> bytes:
    """A JPEG with a comment."""
    plain = encoded(noise(), "JPEG")
    return plain[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + plain[2:]


def stealth(text: str, *, packed: bool = False, alpha: bool = True, kind: str = "PNG") -> bytes:
    """An image with text in the lowest bits of its alpha channel or of its colors, column by column."""
    body = gzip.compress(text.encode(), mtime=0) if packed else text.encode()
    signature = f"stealth_{'png' if alpha else 'rgb'}{'comp' if packed else 'info'}"
    bits = np.unpackbits(np.frombuffer(signature.encode() + struct.pack(">I", 8 * len(body)) + body, np.uint8))
    pixels = np.asarray(noise(128, 96, "RGBA" if alpha else "RGB")).copy()
    if alpha:
        pixels[..., 3] |= 1
    columns = (pixels[..., 3:] if alpha else pixels).swapaxes(0, 1)
    flat = columns.reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 254 | bits
    back = flat.reshape(columns.shape).swapaxes(0, 1)
    pixels = np.concatenate([pixels[..., :3], back], axis=-1) if alpha else back
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return encoded(image, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
