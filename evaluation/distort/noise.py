"""Noise, and a print that was scanned."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.distort.distortion import Apply, Dice
from evaluation.distort.geometry import rotated, scaled


def white(low: float, high: float) -> Apply:
    """Gaussian, in every pixel and channel by itself, of a standard deviation from `low` to `high` of 255."""
    return lambda image, dice: grainy(image, dice, float(dice.uniform(low, high)))


def perlin(period: tuple[int, int], amplitude: tuple[float, float]) -> Apply:
    """Smooth gray noise: gradients on a lattice `period` pixels wide, times an amplitude of 255, in all channels."""

    def apply(image: Image.Image, dice: Dice) -> Image.Image:
        wide = int(dice.integers(period[0], period[1] + 1))
        height = float(dice.uniform(*amplitude))
        field = gradient_noise(image.height, image.width, wide, dice) * height
        return added(image, field[:, :, None])

    return apply


def print_scan(scale: tuple[float, float], degrees: float, sigma: tuple[float, float]) -> Apply:
    """Scaled, a little askew, and grainy."""

    def apply(image: Image.Image, dice: Dice) -> Image.Image:
        turned = rotated(scaled(image, float(dice.uniform(*scale))), float(dice.uniform(-degrees, degrees)))
        return grainy(turned, dice, float(dice.uniform(*sigma)))

    return apply


def grainy(image: Image.Image, dice: Dice, sigma: float) -> Image.Image:
    """With white noise of that standard deviation."""
    return added(image, dice.normal(0.0, sigma, (image.height, image.width, 3)))


def added(image: Image.Image, values: NDArray[np.float64]) -> Image.Image:
    """Rounded, and kept between black and white."""
    pixels = np.asarray(image, np.float64) + values
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def gradient_noise(height: int, width: int, period: int, dice: Dice) -> NDArray[np.float64]:
    """(height, width) Perlin noise, between −1 and 1: Perlin's own of 2002, with unit gradients.

    Every pixel takes the four gradients around it, each times the way from its lattice point, and blends them by
    6t⁵ − 15t⁴ + 10t³; the largest value that can come of it, √½, is made 1.
    """
    rows, columns = height // period + 2, width // period + 2
    angle = dice.uniform(0, 2 * np.pi, (rows, columns))
    gradient = np.stack([np.sin(angle), np.cos(angle)], axis=-1)  # (rows, columns, 2)
    y, x = (np.arange(side) / period for side in (height, width))
    row, column = y.astype(int), x.astype(int)
    fy, fx = (y - row)[:, None], (x - column)[None, :]

    def corner(down: int, right: int) -> NDArray[np.float64]:
        at = gradient[row + down][:, column + right]  # (height, width, 2)
        found: NDArray[np.float64] = at[..., 0] * (fy - down) + at[..., 1] * (fx - right)
        return found

    ty, tx = (t**3 * (t * (6 * t - 15) + 10) for t in (fy, fx))
    upper = corner(0, 0) + tx * (corner(0, 1) - corner(0, 0))
    lower = corner(1, 0) + tx * (corner(1, 1) - corner(1, 0))
    return np.asarray(np.sqrt(2.0) * (upper + ty * (lower - upper)))
