"""Text in the lowest bits of the pixels, as NovelAI and the extension stealth-pnginfo hide it: in the alpha channel,
column by column, or in the three colors. It survives what removes metadata, but no lossy compression and no scaling.
"""

import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from attribution.evidence.exif import decoded
from attribution.evidence.finding import Finding, Trust
from attribution.evidence.generators import interpretations, named_maker
from attribution.evidence.png import MAX_TEXT_BYTES, inflate
from attribution.evidence.texts import Texts

_FORMATS = ("PNG", "WEBP", "TIFF", "BMP")
# Larger images would have to be decoded once more only for this; those of NovelAI have three megapixels at most.
_MAX_PIXELS = 8_000_000
_HEAD = 15 + 4
_CAVEAT = "It was hidden in the pixels by a program, but the form is public, and anyone can write it into any image."


def stealth_findings(data: bytes, kind: str) -> tuple[Finding, ...]:
    """The statements of the text; none if there is no text."""
    if kind not in _FORMATS:
        return ()
    with Image.open(BytesIO(data), formats=[kind]) as image:
        if image.width * image.height > _MAX_PIXELS or image.mode not in ("RGB", "RGBA", "LA"):
            return ()
        pixels = np.asarray(image)  # (height, width, channels)
    channels = {"pixels (alpha channel):": pixels[..., -1:], "pixels (lowest bits):": pixels[..., :3]}
    for where, values in channels.items():
        packed = np.packbits(values.swapaxes(0, 1)[: _columns(values, _HEAD)].reshape(-1) & 1)
        text = _text(values, packed[:_HEAD].tobytes())
        if text is not None:
            texts = Texts(where, [("parameters", text)], trust=Trust.SELF_DECLARED, caveat=_CAVEAT)
            return tuple(interpretations(texts) or named_maker(texts))
    return ()


def _text(values: npt.NDArray[np.uint8], head: bytes) -> str | None:
    signature, bits = head[:15], int.from_bytes(head[15:19], "big")
    size = bits // 8
    if signature not in (b"stealth_pnginfo", b"stealth_pngcomp", b"stealth_rgbinfo", b"stealth_rgbcomp"):
        return None
    if size > MAX_TEXT_BYTES:
        return None
    bits_of = values.swapaxes(0, 1)[: _columns(values, _HEAD + size)].reshape(-1) & 1
    body = np.packbits(bits_of).tobytes()[_HEAD : _HEAD + size]
    if signature.endswith(b"comp"):
        inflated = inflate(body, MAX_TEXT_BYTES, wbits=zlib.MAX_WBITS | 16)
        return None if inflated is None or len(inflated) > MAX_TEXT_BYTES else decoded(inflated)
    return decoded(body)


def _columns(values: npt.NDArray[np.uint8], size: int) -> int:
    """How many columns have that many bytes."""
    height, _, channels = values.shape
    return -(-8 * size // (int(height) * int(channels)))
