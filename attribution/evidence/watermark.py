"""Invisible watermarks that the scripts of image generators embed with the `dwtDct` scheme of imwatermark.

Only unchanged pixels still contain them: an ordinary JPEG compression or a resize destroys the mark. So a mark that is
found is evidence, and a missing one is none. Decoding needs only numpy: the wavelet and cosine transforms of the scheme
reduce to sums of four pixels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from attribution.evidence.finding import Finding, Kind, Trust, pairs

_SCALE = 36.0
_BLOCK = 4
_MIN_PIXELS = 256 * 256  # the encoder leaves smaller images alone


@dataclass(frozen=True, slots=True)
class Mark:
    """A message: the generator that embeds it, its bits, and how many must match to exclude chance.

    `offset` is the center of the blue-difference plane when it was written: 128 for bytes, 0.5 for floats.
    """

    generator: str
    bits: npt.NDArray[np.bool_]
    needed: int
    offset: float


def _of_bytes(text: bytes) -> npt.NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(text, np.uint8)).astype(bool)


def _of_number(number: int) -> npt.NDArray[np.bool_]:
    return np.array([bit == "1" for bit in f"{number:b}"])


# Of 189 unmarked images the best matched 60 %, 72 %, 69 % and 70 % of the bits; see docs/evidence.md.
MARKS = (
    Mark("Stable Diffusion 1", _of_bytes(b"StableDiffusionV1"), 110, 128.0),
    Mark("Stable Diffusion 2", _of_bytes(b"SDV2"), 31, 128.0),
    Mark("Stable Diffusion XL", _of_number(0b101100111110110010010000011110111011000110011110), 44, 0.5),
    # Flux loses the leading zeros when it converts the number to bits, so they are missing here, too.
    Mark("Flux", _of_number(0b001010101111111010000111100111001111010100101110), 42, 0.5),
)


def watermark(image: Image.Image) -> tuple[Finding, ...]:
    """The known marks in the pixels; none for images below 256 × 256 pixels."""
    if image.width * image.height < _MIN_PIXELS:
        return ()
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32)
    votes = {offset: _votes(rgb, offset) for offset in {mark.offset for mark in MARKS}}
    return tuple(
        _finding(mark, matching)
        for mark in MARKS
        if (matching := _matching(votes[mark.offset], mark.bits)) >= mark.needed
    )


def _votes(rgb: npt.NDArray[np.float32], offset: float) -> npt.NDArray[np.bool_]:
    """One bit per block, row by row: in which half of its interval the block's largest coefficient lies."""
    height, width = rgb.shape[0] // 4 * 4, rgb.shape[1] // 4 * 4
    rgb = rgb[:height, :width]
    plane = 0.492 * (rgb[..., 2] - rgb @ np.array([0.299, 0.587, 0.114], np.float32)) + offset  # U of YUV
    if offset == 128.0:
        plane = np.rint(plane)
    low = (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 2  # Haar's LL, (h/2, w/2)
    rows, columns = low.shape[0] // _BLOCK, low.shape[1] // _BLOCK
    blocks = low[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK)
    coefficients = blocks.swapaxes(1, 2).reshape(-1, _BLOCK * _BLOCK)[:, 1:]  # (blocks, 15): not the first one
    votes: npt.NDArray[np.bool_] = np.abs(coefficients).max(axis=1) % _SCALE > _SCALE / 2
    return votes


def _matching(votes: npt.NDArray[np.bool_], bits: npt.NDArray[np.bool_]) -> int:
    """How many of the message's bits agree with the majority of their blocks; 0 if some bit has no block."""
    if len(votes) < len(bits):
        return 0
    which = np.arange(len(votes)) % len(bits)
    share = np.bincount(which, votes, len(bits)) / np.bincount(which, minlength=len(bits))
    return int(((share * 255 > 127) == bits).sum())


def _finding(mark: Mark, matching: int) -> Finding:
    return Finding(
        Kind.WATERMARK,
        "pixels",
        f"The pixels contain the watermark that the scripts of {mark.generator} embed.",
        Trust.SELF_DECLARED,
        "It was embedded intentionally, but the mark is public, and anyone can embed it in any image.",
        generator=mark.generator,
        says_ai=True,
        details=pairs(matching_bits=f"{matching} of {len(mark.bits)}"),
    )
