"""Images that tests upload, made on the spot."""

import io
from typing import Any

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def noise(width: int = 64, height: int = 48, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Random pixels, which no codec makes small."""
    generator = np.random.default_rng(seed)
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8), mode)


def marked(color: tuple[int, int, int], width: int = 64, height: int = 48) -> Image.Image:
    """A sheet of a color with a small mark: it shows something, and its mean color is nearly that of the sheet."""
    image = Image.new("RGB", (width, height), color)
    mark = tuple(value + 60 if value < 128 else value - 60 for value in color)
    image.paste(mark, (width // 2, height // 2, width // 2 + 6, height // 2 + 6))
    return image


def encoded(image: Image.Image | None = None, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    (image or noise()).save(buffer, kind, **options)
    return buffer.getvalue()
