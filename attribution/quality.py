"""What about a query image makes an answer less certain, and by how much, as far as that was measured here.

Everything is found in the file and its pixels, without a model. The shares are those of docs/benchmark.md: how often an
image got the same answer after the distortion.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from attribution.borders import Border

# Pixels that differ by more from the most frequent color show something; fewer than this share of them do not.
_DIFFERENT, _FEWEST = 16, 0.0005
_SMALL_SIDE = 256
_STRIP_RATIO, _STRIP_SIDE = 4.0, 16
_EXAMINED = 256
# A crop is examined for signs of enlargement if it is at least this large and varies at least this much.
_LEAST_EXAMINED, _LEAST_DEVIATION = 64, 6.0
# Bands of frequencies, as shares of the highest, and the least power of the upper one by that of the lower one. Below
# it were 8 of 339 images by real generators as they are; of 60 enlarged twice 32 (bicubic) and 49 (Lanczos), and 5 of
# the former after JPEG of quality 85.
_LOWER, _UPPER, _LEAST_RATIO = (0.3, 0.45), (0.65, 0.95), 0.011
# The same answer after JPEG of a quality, and after scaling, in docs/benchmark.md.
_JPEG = ((95, 0.92), (85, 0.91), (75, 0.86), (50, 0.81), (0, 0.78))
_HALF_SIZE, _ENLARGED = 0.94, 0.99
# The luminance table of the JPEG standard, Annex K.
_TABLE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FrameUse:
    """What was done with a file: `frame` of its `frames` is used, from 0, and has this size after its orientation.

    `ground` is the color that transparent parts were put on, `border` the border in pixels of the frame, if there are.
    """

    width: int
    height: int
    frames: int
    frame: int
    ground: str | None
    border: Border | None
    cropped: bool


@dataclass(frozen=True, slots=True)
class InputQuality:
    """`frame` is the frame or page that is compared, from 1. `notes` are sentences about what may cost accuracy.

    `same_answer` is the smallest share of answers that stayed the same under a distortion like those found; None where
    nothing that was measured is found.
    """

    width: int
    height: int
    frames: int
    frame: int
    blank: bool
    transparent: bool = False
    ground: str | None = None
    jpeg_quality: int | None = None
    enlarged: bool = False
    border: Border | None = None
    cropped: bool = False
    same_answer: float | None = None
    notes: tuple[str, ...] = field(default=())


def examine(image: Image.Image, native: Image.Image, use: FrameUse) -> InputQuality:
    """Examines a query image: `image` in canonical form, and `native`, the loaded frame in its own size and mode."""
    width, height, frames, frame = use.width, use.height, use.frames, use.frame
    ground, border, cropped = use.ground, use.border, use.cropped
    blank = shows_nothing(image)
    quality = jpeg_quality(native)
    enlarged = not blank and looks_enlarged(native)
    notes: list[str] = []
    shares: list[float] = []
    if blank:
        notes.append("The image shows nothing: it is of one color, as far as can be seen.")
    if frames > 1 and frame > 0:
        notes.append(f"Frame {frame + 1} of {frames} is compared: those before it show nothing, or are smaller.")
    elif frames > 1:
        notes.append(f"Only the first of {frames} frames is compared.")
    if min(width, height) < _STRIP_SIDE or max(width, height) > _STRIP_RATIO * min(width, height):
        notes.append(
            f"The image is a strip of {width}×{height} pixels: embedders see a square part of it, or a distortion."
        )
    elif max(width, height) < _SMALL_SIDE:
        notes.append(f"The image has only {width}×{height} pixels, as thumbnails have: detail of its source is lost.")
        shares.append(_HALF_SIZE)
    if quality is not None and quality < 95:
        share = next(share for least, share in _JPEG if quality >= least)
        notes.append(
            f"It is a JPEG of quality {quality}; at such qualities {share:.0%} of the answers stayed the same."
        )
        shares.append(share)
    if enlarged:
        notes.append("It seems to have been enlarged, because it has no fine detail.")
        shares.append(_ENLARGED)
    if border is not None:
        done = "was cut off" if cropped else "is compared, too, and changes the answer"
        sides = [f"{name} {size}" for name in ("left", "top", "right", "bottom") if (size := getattr(border, name))]
        notes.append(f"A border of the color {border.color} ({', '.join(sides)} pixels) {done}.")
    if ground is not None:
        notes.append(f"Its transparent parts were put on {ground}, on which the rest shows.")
    return InputQuality(
        width, height, frames, frame + 1, blank, ground is not None, ground, quality, enlarged, border, cropped,
        min(shares, default=None), tuple(notes),
    )  # fmt: skip


def shows_nothing(image: Image.Image) -> bool:
    """Whether an RGB image is a sheet of one color, apart from noise, a speck or compression."""
    # Every n-th pixel is enough, and leaves a speck its contrast.
    step = max(1, min(image.size) // _EXAMINED)
    pixels = np.asarray(image)[::step, ::step].astype(np.int16)
    common = np.median(pixels.reshape(-1, 3), axis=0)
    return bool(np.mean(np.abs(pixels - common).max(axis=2) > _DIFFERENT) < _FEWEST)


def jpeg_quality(image: Image.Image) -> int | None:
    """The quality by which libjpeg would write this table for luminance; None for other formats."""
    tables: Any = getattr(image, "quantization", None)
    if not isinstance(tables, dict) or len(tables.get(0, ())) != len(_TABLE):
        return None
    # The table is in no particular order of frequencies, but sums do not depend on that.
    percent = 100 * sum(tables[0]) / sum(_TABLE)
    quality = (200 - percent) / 2 if percent <= 100 else 5000 / percent
    return max(1, min(100, round(quality)))


def looks_enlarged(image: Image.Image) -> bool:
    """Whether the middle of the image has no fine detail, or blocks of equal pixels, as after enlarging."""
    width, height = image.size
    side = min(_EXAMINED, width, height) // 2 * 2
    if side < _LEAST_EXAMINED:
        return False
    left, top = (width - side) // 2, (height - side) // 2
    crop = image.crop((left, top, left + side, top + side)).convert("L")
    values = np.asarray(crop, dtype=np.float32)
    deviation = float(values.std())
    if deviation < _LEAST_DEVIATION:
        return False
    if _band_ratio(values) < _LEAST_RATIO:
        return True
    shares = sorted(_in_blocks(values, shift) for shift in (0, 1))
    return shares[1] > 0.98 and shares[0] < 0.95


def _band_ratio(values: npt.NDArray[np.float32]) -> float:
    """The power of fine detail by that of coarser detail; enlarging adds none of the former."""
    side = values.shape[0]
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((values - values.mean()) * window[:, None] * window[None])) ** 2
    axis = np.abs(np.fft.fftfreq(side)) * 2
    radius = np.maximum(axis[:, None], axis[None])
    lower, upper = (power[(radius >= low) & (radius < high)].mean() for low, high in (_LOWER, _UPPER))
    return float(upper / max(lower, 1e-9))


def _in_blocks(values: npt.NDArray[np.float32], shift: int) -> float:
    """The share of squares of two whose pixels are equal, as after enlarging without interpolation."""
    part = values[shift : values.shape[0] - shift, shift : values.shape[1] - shift]
    corner = part[::2, ::2]
    equal = (corner == part[1::2, ::2]) & (corner == part[::2, 1::2]) & (corner == part[1::2, 1::2])
    return float(equal.mean())
