"""What a file is, by its first bytes: one of the accepted image formats, or another kind that the refusal names.

"BM" or "RIFF" alone is not enough, because texts may begin with it.
"""

import re

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
HEAD_BYTES = 512
_ACCEPTED = "PNG, JPEG, WebP, GIF, BMP, TIFF and AVIF are accepted"
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_CONVERT = "Convert it to PNG or JPEG first, for example with"
_PHONE = "or, on an iPhone, set Camera > Formats to Most Compatible"
_FRAME = "Send one of its frames as PNG or JPEG"
_EXPORT = "Export it as PNG or JPEG first"
_AS_TEXT = "Send the bytes that it encodes; or send the text as JSON, in `image`"
_BEFORE_TAG = rb"(?:\xef\xbb\xbf|\s|<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE svg[^>]*>)*"
# By signature: the name, and what to do. The order matters: a more particular one first.
_OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name, advice)
    for pattern, name, advice in (
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", f"{_CONVERT} `djxl in.jxl out.png`"),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000 image", f"{_CONVERT} `magick in.jp2 out.png`"),
        (rb".{4}ftyp(?:isom|mp4|avc1|M4V|iso[2-6]|qt  |3gp)", "a video", _FRAME),
        (rb"\x1a\x45\xdf\xa3", "a WebM or Matroska video", _FRAME),
        (_BEFORE_TAG + rb"<svg\b", "an SVG graphic", f"{_CONVERT} `rsvg-convert in.svg -o out.png`"),
        (_BEFORE_TAG + rb"<(?:!doctype\s+html|html|head|body)\b", "a web page", "Send the file of the image itself"),
        (rb"%PDF-", "a PDF document", f"{_CONVERT} `pdftoppm -png in.pdf out`"),
        (rb"8BPS", "a Photoshop document", _EXPORT),
        (rb"gimp xcf", "a GIMP document", _EXPORT),
        (rb"\0\0[\x01\x02]\0", "a Windows icon", f"{_CONVERT} `magick in.ico out.png`"),
        (rb"%!PS", "a PostScript document", _EXPORT),
        (rb"FUJIFILMCCD-RAW|IIU\0|IIRO", "a camera's raw file", "Develop it to PNG or JPEG first"),
        (rb"P[1-7]\s", "a PNM image", f"{_CONVERT} `magick in.ppm out.png`"),
        (rb"qoif", "a QOI image", f"{_CONVERT} `magick in.qoi out.png`"),
        (rb"\x76\x2f\x31\x01", "an OpenEXR image", f"{_CONVERT} `magick in.exr out.png`"),
        (rb"DDS ", "a DDS texture", f"{_CONVERT} `magick in.dds out.png`"),
        (rb"\x1f\x8b", "a gzip archive", "Send the image itself, not compressed"),
        (rb"PK\x03\x04", "a ZIP archive", "Send the image itself, not in an archive"),
        (rb"\s*data:image/", "a data: URL as text", _AS_TEXT),
        (rb"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk[0-3])[A-Za-z0-9+/_=\s-]{20}", "base64 text", _AS_TEXT),
        (rb"\s*[{\[]\s*[\"{\[\]}]", "JSON", "Send the bytes of the image"),
    )
)


def accepted_format(head: bytes) -> str | None:
    """The format by its signature, None for anything that is not accepted."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    # HEIC uses the same container: only files with AVIF's brand are accepted.
    if head[4:8] == b"ftyp" and (b"avif" in head[:64] or b"avis" in head[:64]):
        return "AVIF"
    return None


def refusal(head: bytes) -> str:
    """A sentence about a file that is not accepted: what it is, and how it can be converted."""
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return f"The file is a HEIC image, not an accepted format. {_CONVERT} `heif-convert in.heic out.png`, {_PHONE}."
    for pattern, name, advice in _OTHERS:
        if pattern.match(head):
            return f"The file is {name}; {_ACCEPTED}. {advice}."
    return f"The file is not an image of a known format; {_ACCEPTED}."
