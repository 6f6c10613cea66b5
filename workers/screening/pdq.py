"""PDQ, the perceptual hash of ThreatExchange: 256 bits that survive resizing, recompression and mild changes of tone.

Davis and Rosen, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019. The image's luma is
blurred, sampled at 64 × 64 points and transformed (DCT); a bit says whether one of the 16 × 16 low frequencies is above
the median. The package `pdqhash`, which python-threatexchange uses, has no wheels, hence this module.

Sums are in float32 and in the order of the reference in C++ (facebook/ThreatExchange, pdq/cpp): a symmetric image has
many coefficients that are zero but for rounding, and only the same rounding gives the same bits. As there, the image
is not resized first.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

Floats = NDArray[np.float32]

_SIDE = 64  # of the sampled image
_FREQUENCIES = 16  # in each direction; the constant one is left out
_MIN_SIDE = 5  # the reference hashes no smaller image

# (16, 64): row i is the cosine of frequency i + 1.
_DCT: Floats = np.array(
    [
        [
            float(np.float32(math.sqrt(2 / _SIDE))) * math.cos(math.pi / 2 / _SIDE * (i + 1) * (2 * j + 1))
            for j in range(_SIDE)
        ]
        for i in range(_FREQUENCIES)
    ],
    np.float32,
)


def dihedral_hashes(image: Image) -> tuple[NDArray[np.uint8], int]:
    """The hashes of an RGB image's eight rotations and reflections, and the image's quality.

    Returns:
        (8, 32): the image itself; turned by 90, 180 and 270 degrees; mirrored at the horizontal, at the vertical axis
        and at the two diagonals. A row's bytes in hexadecimal are the text that hash lists have.
        0 to 100: how many features the image has. Below 50 hashes say little. 0 where a side is below 5 pixels.
    """
    if min(image.size) < _MIN_SIDE:
        return np.zeros((8, 32), np.uint8), 0
    sampled = _sampled(_luma(image))
    coefficients = _product(_product(_DCT, sampled), _DCT.T)
    variants = np.stack([variant.ravel() for variant in _variants(coefficients)])
    median = np.partition(variants, 127, axis=1)[:, 127:128]  # the lower one of two
    return np.packbits((variants > median)[:, ::-1], axis=1), _quality(sampled)


def _luma(image: Image) -> Floats:
    """(height, width), 0 to 255."""
    red, green, blue = np.moveaxis(np.asarray(image), 2, 0)
    luma: Floats = (red * 0.299 + green * 0.587 + blue * 0.114).astype(np.float32)
    return luma


def _sampled(luma: Floats) -> Floats:
    """Blurs by two box filters in each direction (Jarosz, a tent together) and samples 64 × 64 points.

    What is not sampled is not computed in the second two.
    """
    height, width = luma.shape
    along_rows, along_columns = (-(-side // (2 * _SIDE)) for side in (width, height))
    rows, columns = ([int((i + 0.5) * side / _SIDE) for i in range(_SIDE)] for side in (height, width))
    blurred = _box_filter(luma.T, along_rows, range(width))
    blurred = _box_filter(blurred.T, along_columns, range(height))
    blurred = _box_filter(blurred.T, along_rows, columns)
    return _box_filter(blurred.T, along_columns, rows)


def _box_filter(lines: Floats, window: int, wanted: Sequence[int]) -> Floats:
    """The wanted lines of the mean over `window` lines, or over those of them that exist: (len(wanted), m).

    The sum moves along the lines, gaining one and losing one, so that it rounds as the reference's.
    """
    lines = np.ascontiguousarray(lines)
    count = len(lines)
    after = window // 2  # lines of the window behind its own
    before = window - after - 1
    means = np.empty((len(wanted), lines.shape[1]), np.float32)
    total = np.zeros(lines.shape[1], np.float32)
    for line in lines[:after]:
        total += line
    rows = iter(zip(wanted, means, strict=True))
    row, mean = next(rows)
    for i in range(count):
        if i + after < count:
            total += lines[i + after]
        if i > before:
            total -= lines[i - before - 1]
        while i == row:
            np.divide(total, min(i + after, count - 1) - max(i - before, 0) + 1, out=mean)
            row, mean = next(rows, (-1, mean))
    return means


def _product(left: Floats, right: Floats) -> Floats:
    """The matrix product, summed from first to last."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for column, row in zip(left.T, right, strict=True):
        total += np.outer(column, row)
    return total


def _variants(coefficients: Floats) -> Iterator[Floats]:
    """The coefficients that the rotated and reflected image has: (16, 16) each."""
    signs = np.resize(np.array([-1, 1], np.float32), _FREQUENCIES)
    down, across = coefficients * signs[:, np.newaxis], coefficients * signs
    both = down * signs
    yield from (coefficients, across.T, both, down.T, down, across, coefficients.T, both.T)


def _quality(sampled: Floats) -> int:
    """Steps between neighbors, in percent of the range and without the fraction, added up and scaled."""
    steps = (np.trunc(np.diff(sampled, axis=axis) * 100 / 255) for axis in (0, 1))
    return min(100, int(sum(np.abs(step).sum(dtype=np.int64) for step in steps)) // 90)
