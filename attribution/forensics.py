"""Forensic features: what the pixels say about how an image was made, without any model. NumPy alone, milliseconds.

Four classical kinds. Co-occurrences and autocorrelations of the high-pass residual were tried as well: the
former added nothing to these, and the latter mislead where a query was made smaller.

- uniform local binary patterns of the luminance (Ojala et al. 2002): 8 neighbors at radii 1, 2 and 3;
- statistics of color, saturation, local contrast, gradients and high-pass residual;
- the power spectrum of the high-pass residual, by frequency and, of the luminance, by direction;
- mean absolute coefficients of the 8×8 cosine transform.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
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

_FREQUENCIES = 32  # bins from 0 to the highest frequency along an axis
_RINGS, _DIRECTIONS = 8, 3  # of the spectrum by direction; beyond the rings lie the corners
_BLOCK = 8  # of the cosine transform

FORENSIC_TAPS: Final[Mapping[str, int]] = {
    "lbp": _PATTERNS * len(_RADII),
    "statistics": 33,
    "spectrum": 3 * _FREQUENCIES + (_RINGS + 1) * _DIRECTIONS,
    "dct": 3 * (_BLOCK**2 - 1),
}
"""Names and lengths of the features, in order."""

_Plane = NDArray[np.float32]


def forensic_features(image: Image) -> Vectors:
    """(375,) float32: the features of one image in canonical form, in the order of `FORENSIC_TAPS`."""
    colors = np.ascontiguousarray(np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)).astype(np.float32)  # (3, h, w)
    planes = _ycbcr(colors)
    patterns = np.concatenate([_local_binary_patterns(planes[0], radius) for radius in _RADII])
    residuals = [plane - _smooth(plane) for plane in planes]
    parts = [patterns, _statistics(colors, planes, residuals), _spectrum(residuals), _cosines(planes)]
    return np.concatenate(parts).astype(np.float32)


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


def _statistics(
    colors: NDArray[np.float32], planes: tuple[_Plane, _Plane, _Plane], residuals: Sequence[_Plane]
) -> Vectors:
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
    found += [float(np.log(np.abs(residual).mean() + 0.1)) for residual in residuals]
    return np.array(found, np.float32)


def _spectrum(residuals: Sequence[_Plane]) -> Vectors:
    """(123,) logarithms of mean powers: per plane by frequency (32), behind the luminance's also by direction (27)."""
    height, width = residuals[0].shape
    window, weights, frequencies, directions = _bins(height, width)
    found = []
    for at, residual in enumerate(residuals):
        power = (np.abs(np.fft.rfft2(residual * window)) ** 2 * weights).ravel()
        found.append(_mean_in_bins(power, frequencies, weights, _FREQUENCIES + 1)[:-1])
        if at == 0:
            found.append(_mean_in_bins(power, directions, weights, (_RINGS + 1) * _DIRECTIONS))
    powers: Vectors = np.log(np.concatenate(found) / (height * width) + 1e-3).astype(np.float32)
    return powers


def _mean_in_bins(power: Vectors, bins: NDArray[np.intp], weights: _Plane, count: int) -> NDArray[np.float64]:
    sums = np.bincount(bins, power, count)
    return np.asarray(sums / np.maximum(np.bincount(bins, weights.ravel(), count), 1))


@lru_cache(maxsize=4)
def _bins(height: int, width: int) -> tuple[_Plane, _Plane, NDArray[np.intp], NDArray[np.intp]]:
    """For a half spectrum: the Hann window, how often each frequency counts, and its bin by frequency and direction."""
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    y, x = np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)[None]
    weights = np.full((height, x.size), 2, np.float32)  # the other half of a real image's spectrum is the same
    weights[:, 0] = 1
    if width % 2 == 0:
        weights[:, -1] = 1
    share = np.hypot(y, x) / 0.5
    frequencies = np.minimum((share * _FREQUENCIES).astype(np.intp), _FREQUENCIES)
    direction = (np.arctan2(y, x + 1e-9) / (np.pi / 2) * _DIRECTIONS).astype(np.intp)
    rings = np.minimum((share * _RINGS).astype(np.intp), _RINGS)
    directions = rings * _DIRECTIONS + np.minimum(direction, _DIRECTIONS - 1)
    return window, weights, frequencies.ravel(), directions.ravel()


_STEPS = np.arange(_BLOCK)
_COSINES = np.cos(np.pi * (2 * _STEPS[None] + 1) * _STEPS[:, None] / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
_COSINES[0] /= np.sqrt(2)
_COSINES = _COSINES.astype(np.float32)


def _cosines(planes: Sequence[_Plane]) -> Vectors:
    """(189,) per plane the logarithms of the mean absolute coefficients of 8×8 blocks, all but the block's mean."""
    found = []
    for plane in planes:
        rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
        blocks = plane[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
        means = np.abs(_COSINES @ blocks @ _COSINES.T).mean(axis=(0, 1))
        found.append(np.log(means + np.float32(0.1)).ravel()[1:])
    return np.concatenate(found)


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
