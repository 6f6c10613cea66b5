"""Tells a safety filter's blank from a generated image. Embedding a blank would poison the source's distance."""

from PIL.Image import Image

# A vendor's black square comes back as JPEG: its pixels differ by a few levels, a generated image's by dozens.
_FLAT = 8


def is_blank(image: Image) -> bool:
    """Whether every channel of an RGB image is as good as one value."""
    return all(high - low <= _FLAT for low, high in _ranges(image))


def _ranges(image: Image) -> list[tuple[int, int]]:
    return [channel.getextrema() for channel in image.convert("RGB").split()]  # type: ignore[misc]
