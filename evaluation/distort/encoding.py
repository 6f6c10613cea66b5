"""Lossy files, by themselves and as platforms make them."""

import io

from PIL import Image

from evaluation.distort.distortion import Apply, Dice


def jpeg(low: int, high: int | None = None) -> Apply:
    """A quality from `low` to `high`, both included; Pillow's usual chroma subsampling."""
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
