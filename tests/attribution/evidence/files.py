"""Image files that say something about their origin, made on the spot."""

import io
import struct
import zlib
from typing import Any

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
