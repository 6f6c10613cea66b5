"""Tiny images, made by code, that tell one way of preparing and embedding images from another.

None is symmetric or gray, their shapes differ, and they hold edges, gradients and detail finer than a model sees: a
flip, swapped channels, another crop, filter, mean or activation changes what a model says of at least one of them.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SEED = 15


def known_images() -> Mapping[str, Image.Image]:
    """RGB images by name; each call makes the same pixels."""
    return {name: Image.fromarray(pixels) for name, pixels in _pixels().items()}


def _pixels() -> dict[str, NDArray[np.uint8]]:
    return {
        "face": _face(64, 64),
        "landscape": _landscape(54, 128),
        "tower": _tower(112, 44),
        "rings": _rings(150, 210),
        "noise": np.random.default_rng(_SEED).integers(0, 256, (30, 41, 3), dtype=np.uint8),
    }


def _face(height: int, width: int) -> NDArray[np.uint8]:
    """A cartoon's head before a plain ground, hair to one side, one eye closed."""
    y, x = np.mgrid[0:height, 0:width] / (height - 1)
    image = _filled(height, width, (120, 190, 230))
    image[(x - 0.5) ** 2 / 0.09 + (y - 0.55) ** 2 / 0.13 < 1] = (240, 200, 160)
    image[(x - 0.45) ** 2 / 0.11 + (y - 0.3) ** 2 / 0.06 < 1] = (110, 60, 30)
    image[(x - 0.38) ** 2 + (y - 0.55) ** 2 < 0.003] = (20, 20, 30)
    image[(abs(x - 0.63) < 0.07) & (abs(y - 0.55) < 0.015)] = (20, 20, 30)
    image[(abs(x - 0.52) < 0.12) & (abs(y - 0.75 - 0.3 * (x - 0.5)) < 0.02)] = (200, 30, 50)
    image[(y > 0.9) & (abs(x - 0.5) < 0.35)] = (40, 90, 60)
    return image


def _landscape(height: int, width: int) -> NDArray[np.uint8]:
    """A sky that darkens to the right, a red sun at its left, a green hill at its right."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / height, x / width
    image = np.stack([90 + 120 * y, 150 + 60 * y - 60 * x, 250 - 120 * x], axis=-1)
    image[(2.4 * (x - 0.15)) ** 2 + (y - 0.3) ** 2 < 0.03] = (230, 60, 40)
    image[y > 0.95 - 0.6 * x**2] = (50, 130, 40)
    image[(y > 0.85) & (x < 0.4)] = (200, 180, 90)
    return image.astype(np.uint8)


def _tower(height: int, width: int) -> NDArray[np.uint8]:
    """A dark tower with lit windows under a bright moon, and a fence of stripes at one side."""
    y, x = np.mgrid[0:height, 0:width]
    image = _filled(height, width, (30, 30, 80))
    image[(x - 34) ** 2 + (y - 14) ** 2 < 49] = (250, 240, 180)
    image[(x > 8) & (x < 26) & (y > 20)] = (90, 70, 90)
    image[(x > 11) & (x < 23) & (y > 24) & (x % 4 < 2) & (y % 7 < 3)] = (250, 190, 60)
    image[(x > 27) & (y > 80) & (x % 3 == 0)] = (200, 220, 240)
    return image


def _rings(height: int, width: int) -> NDArray[np.uint8]:
    """Rings that get finer than the pixels, around a point beside the middle: no two filters shrink them alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    wave = np.cos(((x - 60) ** 2 + (y - 90) ** 2) / 55) > 0
    image = _filled(height, width, (235, 225, 60))
    image[wave] = (40, 60, 150)
    image[(x > 150) & (y < 40)] = (220, 40, 120)
    return image


def _filled(height: int, width: int, color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((height, width, 3), color, np.uint8)
