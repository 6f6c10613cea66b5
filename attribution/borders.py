"""Borders of one color around an image, as letterboxes, frames and screenshots have them.

A border is even, has a counterpart on the opposite side, and ends in a straight edge: most of the line after it has
other colors. So the plain background of an object is none, because the object touches the first line that is not plain
in a few places only. Borders that a generator has made itself are less even, and must not be cut off.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

# In levels of a channel: JPEG adds some near an edge.
_TOLERANCE = 12
# Of a line of the border may have another color, and of the first line after it must have one.
_STRAY, _EDGE = 0.05, 0.6
# A border is at least this part of the side, and what is left at least that part.
_THINNEST, _LEAST_LEFT = 0.01, 0.2
_FEWEST_PIXELS = 2
# Mean deviation from the color: a program's border has next to none, one that a generator has made has more.
_UNEVEN = 1.5
_BLURRED = 12
# By EXIF orientation: which of left, top, right and bottom becomes the left side, the top, the right side, the bottom.
_TRANSPOSED = {
    2: (2, 1, 0, 3),
    3: (2, 3, 0, 1),
    4: (0, 3, 2, 1),
    5: (1, 0, 3, 2),
    6: (3, 0, 1, 2),
    7: (3, 2, 1, 0),
    8: (1, 2, 3, 0),
}


@dataclass(frozen=True, slots=True)
class Border:
    """Widths in pixels, and the color as `#rrggbb`."""

    left: int
    top: int
    right: int
    bottom: int
    color: str

    def scaled(self, factor: float) -> "Border":
        """The same border of an image that is `factor` times as large; rounded up, so that nothing of it is left."""
        left, top, right, bottom = (math.ceil(each * factor) for each in self._sides())
        return Border(left, top, right, bottom, self.color)

    def transposed(self, orientation: int) -> "Border":
        """As it is after an EXIF orientation from 2 to 8 has been applied."""
        left, top, right, bottom = (self._sides()[side] for side in _TRANSPOSED[orientation])
        return Border(left, top, right, bottom, self.color)

    def inside(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What is left of an image of this size: left, top, right, bottom."""
        return self.left, self.top, width - self.right, height - self.bottom

    def _sides(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.right, self.bottom


def find_border(image: Image.Image) -> Border | None:
    """The border of an RGB image; None without one. Letterboxes have two sides, frames four."""
    pixels = np.asarray(image, dtype=np.int16)  # (height, width, 3)
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        return None
    color = _color(pixels)
    plain = np.abs(pixels - color).max(axis=2) <= _TOLERANCE  # (height, width)
    if plain.mean() > 1 - _LEAST_LEFT**2:
        return None
    top, bottom = _widths(plain)
    left, right = _widths(plain[top : height - bottom].T)
    top, bottom = _widths(plain[:, left : width - right])  # without the sides, whose lines are plain, too
    left, right = (_edged(plain[top : height - bottom].T, each) for each in ((left, False), (right, True)))
    top, bottom = (_edged(plain[:, left : width - right], each) for each in ((top, False), (bottom, True)))
    if not (left and right):  # letterboxes and frames come in pairs; one side alone is often sky or floor
        left = right = 0
    if not (top and bottom):
        top = bottom = 0
    if width - left - right < _LEAST_LEFT * width or height - top - bottom < _LEAST_LEFT * height:
        return None
    inside = np.zeros((height, width), dtype=bool)
    inside[top : height - bottom, left : width - right] = True
    if inside.all() or np.abs(pixels - color)[~inside].mean() > _UNEVEN:
        return None
    return Border(left, top, right, bottom, "#" + bytes(color.astype(np.uint8)).hex())


def _color(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The median of the edge whose pixels agree most."""
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    medians = [np.median(edge, axis=0) for edge in edges]
    agreeing = [
        np.mean(np.abs(edge - median).max(axis=1) <= _TOLERANCE) for edge, median in zip(edges, medians, strict=True)
    ]
    color: npt.NDArray[np.int16] = medians[int(np.argmax(agreeing))].astype(np.int16)
    return color


def _widths(plain: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """How many lines at the beginning and at the end are plain."""
    lines = plain.mean(axis=1) >= 1 - _STRAY
    if lines.all():
        return 0, 0
    return int(lines.argmin()), int(lines[::-1].argmin())


def _edged(plain: npt.NDArray[np.bool_], given: tuple[int, bool]) -> int:
    """The width, or 0 if it is too thin or ends in no straight edge."""
    width, at_end = given
    if width < max(_FEWEST_PIXELS, _THINNEST * plain.shape[0]):
        return 0
    lines = plain[::-1] if at_end else plain
    # Compression lets an edge shine into the lines before it, and scaling blurs it.
    sharp = 1 - lines[width : width + _BLURRED].mean(axis=1) >= _EDGE
    return width + int(sharp.argmax()) if sharp.any() else 0
