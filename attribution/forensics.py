"""Forensic features: what the pixels say about how an image was made, without any model. NumPy alone, milliseconds.

Two of the field's classical kinds, chosen because a recompression of the query changes them little:

- uniform local binary patterns of the luminance (Ojala et al. 2002): 8 neighbors at radii 1, 2 and 3;
- statistics of color, saturation, local contrast, gradients and high-pass residual.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from attribution.ports import Vectors

_RADII = (1, 2, 3)
_NEIGHBORS = 8
_PATTERNS = _NEIGHBORS + 2  # uniform patterns by their number of ones, and all others together
_SATURATION_BINS = 8
_CONTRAST_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_GRADIENT_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97)

FORENSIC_TAPS: Final[Mapping[str, int]] = {"lbp": _PATTERNS * len(_RADII), "statistics": 33}
"""Names and lengths of the features, in order."""

_Plane = NDArray[np.float32]


def forensic_features(image: Image) -> Vectors:
    """(63,) float32: the features of one image in canonical form, in the order of `FORENSIC_TAPS`."""
    colors = np.ascontiguousarray(np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)).astype(np.float32)  # (3, h, w)
    planes = _ycbcr(colors)
    patterns = np.concatenate([_local_binary_patterns(planes[0], radius) for radius in _RADII])
    return np.concatenate([patterns, _statistics(colors, planes)]).astype(np.float32)


def _ycbcr(colors: NDArray[np.float32]) -> tuple[_Plane, _Plane, _Plane]:
    """Luminance and the two color differences, each (h, w); the latter around 0."""
    red, green, blue = colors
    luminance = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return luminance, (blue - luminance) * np.float32(0.564), (red - luminance) * np.float32(0.713)


def _local_binary_patterns(luminance: _Plane, radius: int) -> Vectors:
    """(10,) square roots of the shares of the uniform patterns, and of the others together.

    Neighbors between pixels are interpolated bilinearly. Luminance is rounded first, so that flat areas are flat.
    """
    whole = np.round(luminance)
    height, width = whole.shape
    margin = radius + 1
    center = whole[margin : height - margin, margin : width - margin]
    ones = np.zeros(center.shape, np.uint8)
    changes = np.zeros(center.shape, np.uint8)
    bits = []
    for angle in 2 * np.pi * np.arange(_NEIGHBORS) / _NEIGHBORS:
        y, x = -radius * np.sin(angle), radius * np.cos(angle)
        bits.append((_shifted(whole, margin, y, x) >= center).view(np.uint8))
    for bit, following in zip(bits, [*bits[1:], bits[0]], strict=True):
        ones += bit
        changes += bit ^ following
    pattern = np.where(changes <= 2, ones, _NEIGHBORS + 1)
    counts = np.bincount(pattern.ravel(), minlength=_PATTERNS)
    shares: Vectors = np.sqrt(counts / pattern.size).astype(np.float32)
    return shares


def _shifted(plane: _Plane, margin: int, y: float, x: float) -> _Plane:
    """The plane without its margin, moved by (y, x) pixels, interpolated bilinearly between whole pixels."""
    y, x = round(y, 5), round(x, 5)  # the cosine of a right angle is not exactly 0
    top, left = int(np.floor(y)), int(np.floor(x))
    down, right = np.float32(y - top), np.float32(x - left)

    def part(dy: int, dx: int) -> _Plane:
        rows = slice(margin + top + dy, plane.shape[0] - margin + top + dy)
        return plane[rows, margin + left + dx : plane.shape[1] - margin + left + dx]

    upper = part(0, 0) if right == 0 else part(0, 0) * (1 - right) + part(0, 1) * right
    if down == 0:
        return upper
    lower = part(1, 0) if right == 0 else part(1, 0) * (1 - right) + part(1, 1) * right
    return upper * (1 - down) + lower * down


def _statistics(colors: NDArray[np.float32], planes: tuple[_Plane, _Plane, _Plane]) -> Vectors:
    """(33,): moments per plane (9), saturation (8), local contrast (5), gradients (6), clipping (2), residuals (3)."""
    luminance = planes[0]
    found: list[float] = []
    for plane in planes:
        apart = plane - plane.mean()
        squares = apart * apart
        deviation = float(np.sqrt(squares.mean())) + 1e-6
        skew = float((squares * apart).mean()) / deviation**3
        found += [float(plane.mean()) / 64, float(np.log(deviation + 1)), skew / 2]
    red, green, blue = colors
    saturation = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    bins = (saturation * np.float32(_SATURATION_BINS / 256)).astype(np.intp)
    found += list(np.sqrt(np.bincount(bins.ravel(), minlength=_SATURATION_BINS) / bins.size))
    block = max(4, luminance.shape[0] // 32)
    rows, columns = luminance.shape[0] // block, luminance.shape[1] // block
    blocks = luminance[: rows * block, : columns * block].reshape(rows, block, columns, block)
    found += list(np.quantile(np.log(blocks.std((1, 3)) + 0.5), _CONTRAST_QUANTILES))
    gradient = np.hypot(*np.gradient(luminance))
    found += list(np.log(np.quantile(gradient, _GRADIENT_QUANTILES) + 0.5))
    found += [float(np.sqrt((colors > 250).mean())), float(np.sqrt((colors < 5).mean()))]
    found += [float(np.log(np.abs(plane - _smooth(plane)).mean() + 0.1)) for plane in planes]
    return np.array(found, np.float32)


# A Gaussian of one pixel, cut at four.
_KERNEL = np.exp(-0.5 * np.arange(-4, 5) ** 2)
_KERNEL = (_KERNEL / _KERNEL.sum()).astype(np.float32)


def _smooth(plane: _Plane) -> _Plane:
    """The plane after a Gaussian filter of one pixel; its edge is repeated outwards."""
    reach = len(_KERNEL) // 2
    height, width = plane.shape
    tall = np.pad(plane, ((reach, reach), (0, 0)), mode="symmetric")
    rows = sum(weight * tall[at : at + height] for at, weight in enumerate(_KERNEL))
    wide = np.pad(rows, ((0, 0), (reach, reach)), mode="symmetric")
    smooth: _Plane = sum(weight * wide[:, at : at + width] for at, weight in enumerate(_KERNEL))
    return smooth
