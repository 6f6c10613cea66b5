"""Text in the lowest bits of the pixels, as NovelAI and the extension stealth-pnginfo hide it: in the alpha channel,
column by column, or in the three colors. It survives what removes metadata, but no lossy compression and no scaling.

All pixels are decoded only where the first ones have the signature: of a PNG the top rows are enough to see it.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from attribution.evidence.exif import decoded
from attribution.evidence.finding import Finding
from attribution.evidence.generators import interpretations, named_maker
from attribution.evidence.png import MAX_TEXT_BYTES, SIGNATURE, inflate
from attribution.evidence.texts import Texts

# Images of NovelAI have three megapixels at most.
_MAX_PIXELS = 8_000_000
_SIGNATURES = (b"stealth_pnginfo", b"stealth_pngcomp", b"stealth_rgbinfo", b"stealth_rgbcomp")
_HEAD = 15 + 4
# The signature has 120 bits, and the first column one of them per row and channel.
_TOP_ROWS = 120
_CHANNELS = {2: 3, 4: 2, 6: 4}  # by the color type of a PNG
_CAVEAT = "It was hidden in the pixels by a program, but the form is public, and anyone can write it into any image."

Pixels = npt.NDArray[np.uint8]


def stealth_findings(data: bytes, kind: str) -> tuple[Finding, ...]:
    """The statements of the text; none if there is no text."""
    if kind == "PNG":
        top = _top_of_png(data)
        if top is None or not any(_signature(values) for _, values in _channels(top)):
            return ()
    elif kind != "WEBP" or b"VP8 " in data[12:64]:  # a lossy one without alpha
        return ()
    pixels = _decode(data, kind)
    for where, values in () if pixels is None else _channels(pixels):
        text = _text(values)
        if text is not None:
            texts = Texts(where, [("parameters", text)], caveat=_CAVEAT)
            return tuple(interpretations(texts) or named_maker(texts))
    return ()


def _decode(data: bytes, kind: str) -> Pixels | None:
    with Image.open(BytesIO(data), formats=[kind]) as image:
        if image.width * image.height > _MAX_PIXELS or image.mode not in ("RGB", "RGBA", "LA"):
            return None
        return np.asarray(image)  # (height, width, channels)


def _channels(pixels: Pixels) -> list[tuple[str, Pixels]]:
    return [("pixels (alpha channel):", pixels[..., -1:]), ("pixels (lowest bits):", pixels[..., :3])]


def _top_of_png(data: bytes) -> Pixels | None:
    """The top rows of a PNG with 8 bits per channel; None for other ones.

    They become a PNG of their own: the decoder would read the whole image.
    """
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if depth != 8 or color not in _CHANNELS or interlaced:
        return None
    rows = min(height, _TOP_ROWS)
    wanted = rows * (1 + width * _CHANNELS[color])
    inflater, raw, at = zlib.decompressobj(), b"", len(SIGNATURE)
    while len(raw) < wanted and at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            raw += inflater.decompress(data[at + 8 : at + 8 + size], wanted - len(raw))
        at += size + 12
    if len(raw) < wanted:
        return None
    head = struct.pack(">IIBBBBB", width, rows, depth, color, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(raw, 0)), (b"IEND", b""))
    small = b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return _decode(SIGNATURE + small, "PNG")


def _signature(values: Pixels) -> bool:
    return _bytes(values, len(_SIGNATURES[0])) in _SIGNATURES


def _text(values: Pixels) -> str | None:
    if not _signature(values):
        return None
    head = _bytes(values, _HEAD)
    size = int.from_bytes(head[-4:], "big") // 8
    if size > MAX_TEXT_BYTES:
        return None
    body = _bytes(values, _HEAD + size)[_HEAD:]
    if head[:-4].endswith(b"comp"):
        inflated = inflate(body, MAX_TEXT_BYTES, wbits=zlib.MAX_WBITS | 16)
        return None if inflated is None or len(inflated) > MAX_TEXT_BYTES else decoded(inflated)
    return decoded(body)


def _bytes(values: Pixels, size: int) -> bytes:
    """The first bytes in the lowest bits, column by column."""
    height, _, channels = values.shape
    columns = -(-8 * size // (int(height) * int(channels)))
    return np.packbits(values.swapaxes(0, 1)[:columns].reshape(-1) & 1).tobytes()[:size]
