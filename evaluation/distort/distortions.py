"""Distortions by name, and their transforms. Ranges are the published scripts', and ours where those give none."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from evaluation.store import key_of

Dice = np.random.Generator
Apply = Callable[[Image.Image, Dice], Image.Image]


@dataclass(frozen=True, slots=True)
class Distortion:
    """An RGB image in, an RGB image out; `parameters` describes the random parameters, uniform unless named otherwise.

    `family` is where it comes from: "R" for the published scripts of arXiv 2510.24278, "G" for arXiv 2403.01489,
    "same" for a copy that people consider the same image.
    """

    name: str
    family: str
    parameters: str
    apply: Apply


def distort(distortion: Distortion, image: Image.Image, sha256: str, seed: int = 0) -> Image.Image:
    """The image, whose file has that hash, distorted: always in the same way for the same seed."""
    dice = np.random.default_rng(int(key_of("distortion", distortion.name, sha256, seed), 16))
    return distortion.apply(image, dice).convert("RGB")


def jpeg(low: int, high: int | None = None) -> Apply:
    """A quality from `low` to `high`, both included; Pillow's default chroma subsampling."""
    return lambda image, dice: encoded(image, "JPEG", int(dice.integers(low, (high or low) + 1)))


def webp(low: int, high: int | None = None) -> Apply:
    """A quality from `low` to `high`, both included."""
    return lambda image, dice: encoded(image, "WEBP", int(dice.integers(low, (high or low) + 1)))


def platform(side: int, quality: int) -> Apply:
    """Shrunk to fit into a square of `side` where it is larger, then a JPEG."""

    def apply(image: Image.Image, dice: Dice) -> Image.Image:
        fitted = image.copy()
        fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
        return encoded(fitted, "JPEG", quality)

    return apply


def encoded(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """Through a file of that kind and back."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    with Image.open(file) as opened:
        return opened.convert("RGB")


def resize(low: float, high: float | None = None) -> Apply:
    """Both sides times one factor from `low` to `high`."""
    return lambda image, dice: scaled(image, float(dice.uniform(low, high or low)))


def there_and_back(factor: float) -> Apply:
    """Both sides times a factor, then back to the size it had."""
    return lambda image, dice: scaled(image, factor).resize(image.size, Image.Resampling.BICUBIC)


def center_crop(low: float, high: float) -> Apply:
    """The middle of it, with one share from `low` to `high` of each side."""

    def apply(image: Image.Image, dice: Dice) -> Image.Image:
        share = float(dice.uniform(low, high))
        width, height = (max(1, round(side * share)) for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    return apply


def rotation(degrees: float) -> Apply:
    """By up to so many degrees either way; the frame stays, its corners become black."""
    return lambda image, dice: rotated(image, float(dice.uniform(-degrees, degrees)))


def scaled(image: Image.Image, factor: float) -> Image.Image:
    """Both sides times a factor, at least one pixel."""
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def rotated(image: Image.Image, degrees: float) -> Image.Image:
    """Within its frame."""
    return image.rotate(degrees, Image.Resampling.BICUBIC)


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


def blur() -> Apply:
    """Pillow's `BLUR`, a ring of five by five."""
    return lambda image, dice: image.filter(ImageFilter.BLUR)


def median(sizes: tuple[int, ...]) -> Apply:
    """A median over a window of one of these sizes."""
    return lambda image, dice: image.filter(ImageFilter.MedianFilter(int(dice.choice(sizes))))


def gaussian(low: float, high: float) -> Apply:
    """A standard deviation from `low` to `high` pixels."""
    return lambda image, dice: image.filter(ImageFilter.GaussianBlur(float(dice.uniform(low, high))))


def contrast(low: float, high: float) -> Apply:
    """Times a factor from `low` to `high`, around the image's mean gray."""
    return lambda image, dice: ImageEnhance.Contrast(image).enhance(float(dice.uniform(low, high)))


def brightness(low: float, high: float) -> Apply:
    """Times a factor from `low` to `high`."""
    return lambda image, dice: ImageEnhance.Brightness(image).enhance(float(dice.uniform(low, high)))


def round_trip(mode: str) -> Apply:
    """Into another mode of Pillow's and back: "L" loses the colors, "HSV" and "CMYK" what rounding takes."""

    def apply(image: Image.Image, dice: Dice) -> Image.Image:
        return image.convert(mode).convert("RGB")

    return apply


DISTORTIONS = {
    each.name: each
    for each in (
        Distortion("jpeg", "R", "quality 50–100", jpeg(50, 100)),
        Distortion("webp", "R", "quality 50–100", webp(50, 100)),
        Distortion("resize", "R", "×0.4–2.0", resize(0.4, 2.0)),
        Distortion("crop", "R", "the middle, 0.5–0.9 of each side", center_crop(0.5, 0.9)),
        Distortion("rotation", "R", "±5°, corners black", rotation(5)),
        Distortion("contrast", "R", "×1.2–2.4", contrast(1.2, 2.4)),
        Distortion("brightness", "R", "×1.2–2.4", brightness(1.2, 2.4)),
        Distortion("blur", "R", "Pillow's BLUR", blur()),
        Distortion("median", "R", "window of 3, 5 or 7", median((3, 5, 7))),
        Distortion("grayscale", "R", "to L and back", round_trip("L")),
        Distortion("hsv", "R", "to HSV and back", round_trip("HSV")),
        Distortion("cmyk", "R", "to CMYK and back, without profiles", round_trip("CMYK")),
        Distortion("white-noise", "R", "σ 16–64, each channel by itself", white(16, 64)),
        Distortion("perlin-noise", "R", "lattice of 4–12 pixels, amplitude 8–32, gray", perlin((4, 12), (8, 32))),
        Distortion("social", "R", "fitted into 1080², JPEG 85", platform(1080, 85)),
        Distortion("twitter", "R", "fitted into 4096², JPEG 85", platform(4096, 85)),
        Distortion(
            "print-scan", "R", "×0.8–1.2, ±5°, noise σ 8–32", print_scan((0.8, 1.2), 5, (8, 32))
        ),
        # G gives no numbers; these are ours.
        Distortion("gaussian-blur", "G", "σ 0.5–2 pixels", gaussian(0.5, 2.0)),
        Distortion("half-size", "G", "×0.5 and back", there_and_back(0.5)),
    )
}  # fmt: skip

SAME_IMAGE = {
    each.name: each
    for each in (
        *(Distortion(f"jpeg-{q}", "same", f"JPEG, quality {q}", jpeg(q)) for q in (95, 85, 75, 50, 30)),
        Distortion("webp-80", "same", "WebP, quality 80", webp(80)),
        *(Distortion(f"size-{round(100 * f)}", "same", f"{f} × the size", resize(f)) for f in (0.5, 0.75, 1.5, 2.0)),
    )
}
