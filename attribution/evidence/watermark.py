"""Invisible watermarks that image generators' own scripts put into pixels with the `dwtDct` scheme of imwatermark.

Only pixels that nobody touched still show them: a usual JPEG or a resize destroys the mark. So a mark that is found
says something, and one that is not found says nothing. Decoding needs no more than numpy: of the wavelets and cosines
that the scheme is named after, sums of four pixels are left.
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
    """A message: who writes it, its bits, and how many must match to be no coincidence.

    `offset` is what the writer's blue-difference plane is centered on: 128 for bytes, 0.5 for floats.
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
    # Its leading zeros are lost where Flux makes bits of the number, so they are here.
    Mark("Flux", _of_number(0b001010101111111010000111100111001111010100101110), 42, 0.5),
)


def watermark(image: Image.Image) -> tuple[Finding, ...]:
    """Which of the known marks the pixels carry; none for images below 256 × 256 pixels."""
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
    """How many of the message's bits the majority of their blocks agrees with; 0 if some bit has no block."""
    if len(votes) < len(bits):
        return 0
    which = np.arange(len(votes)) % len(bits)
    share = np.bincount(which, votes, len(bits)) / np.bincount(which, minlength=len(bits))
    return int(((share * 255 > 127) == bits).sum())


def _finding(mark: Mark, matching: int) -> Finding:
    return Finding(
        Kind.WATERMARK,
        "pixels",
        f"The pixels carry the watermark that the scripts of {mark.generator} write.",
        Trust.SELF_DECLARED,
        "It is there on purpose, not by chance; but the mark is public, and anybody can put it into any image.",
        generator=mark.generator,
        says_ai=True,
        details=pairs(matching_bits=f"{matching} of {len(mark.bits)}"),
    )
