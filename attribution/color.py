"""Converts any pixel format to 8-bit sRGB on a ground of one color; `image.py` uses it.

`converter` examines a whole image once (its value range, its color profile) and returns a function that converts strips
of it, so that no full-size copy is made.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Convert = Callable[[Image.Image], Image.Image]

# Profiles have a few hundred bytes to about one megabyte; larger ones are ignored.
MAX_PROFILE_BYTES = 4_000_000
_STRIP_PIXELS = 1 << 20
# Of content on transparency: pixels per side that are examined; the least difference from the ground, in levels, that
# shows; and the share that must show on white. Nearly opaque pixels count as opaque: some programs hide bits in them.
_SAMPLED, _VISIBLE, _FEW_SHOWN, _OPAQUE = 256, 24.0, 0.25, 0.98
_RANGES = (1.0, 255.0, 65535.0)
_BASE = {"L": "L", "CMYK": "CMYK", "RGB": "RGB", "RGBA": "RGB", "RGBX": "RGB", "P": "RGB", "YCbCr": "RGB"}
_SPACE = {"L": "GRAY", "CMYK": "CMYK", "RGB": "RGB"}


def choose_ground(image: Image.Image) -> str | None:
    """The color on which transparent parts are put: white, or black where the content would not show on white.

    None for an image without transparent parts. The image must be loaded.
    """
    if not image.has_transparency_data:
        return None
    small = image.resize((min(image.width, _SAMPLED), min(image.height, _SAMPLED)), Image.Resampling.NEAREST)
    pixels = np.asarray(small.convert("RGBA"), dtype=np.float32)
    color, alpha = pixels[..., :3], pixels[..., 3] / 255.0
    if alpha.min() > _OPAQUE:
        return None
    content = alpha > 1 - _OPAQUE
    if not content.any():
        return "white"
    shown = {
        name: float((np.abs(color - ground).max(axis=2) * alpha > _VISIBLE)[content].mean())
        for name, ground in (("white", 255.0), ("black", 0.0))
    }
    return "black" if shown["white"] < _FEW_SHOWN and shown["black"] > shown["white"] else "white"


def converter(image: Image.Image, ground: str = "white") -> Convert:
    """A function that turns strips of `image` into RGB, transparent parts on `ground`. The image must be loaded."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        low, high = _value_range(image)
        return lambda strip: _from_deep_gray(strip, low, high)
    transform = _to_srgb(image)
    return lambda strip: _from_color(strip, transform, ground)


def _from_color(strip: Image.Image, transform: tuple[str, Convert] | None, ground: str) -> Image.Image:
    if strip.mode in ("La", "RGBa"):  # premultiplied, as some TIFFs are
        strip = strip.convert({"La": "LA", "RGBa": "RGBA"}[strip.mode])
    mask = None
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        mask = strip.getchannel("A")
    if strip.mode not in ("L", "CMYK", "LAB"):
        strip = strip.convert("RGB")
    if transform is not None and transform[0] == strip.mode:
        strip = transform[1](strip)
    strip = strip.convert("RGB")
    if mask is None:
        return strip
    plain = Image.new("RGB", strip.size, ground)
    plain.paste(strip, mask=mask)
    return plain


def _from_deep_gray(strip: Image.Image, low: float, high: float) -> Image.Image:
    values = np.nan_to_num(np.asarray(strip, dtype=np.float32), nan=low, posinf=high, neginf=low)
    scaled = (np.clip(values, low, high) - low) * (255.0 / (high - low))
    return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB")


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The values of black and white in a gray image of more than 8 bits.

    Sixteen-bit modes define them. "I" and "F" do not: the smallest common range that contains every value is used, or
    else the range of the values.
    """
    if image.mode.startswith("I;16"):
        return 0.0, 65535.0
    low, high = np.inf, -np.inf
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):  # a numpy copy of the whole image would double its memory
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        values = np.asarray(strip, dtype=np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0
    usual = _RANGES if image.mode == "F" else _RANGES[1:]
    for white in usual:
        if low >= 0.0 and high <= white:
            return 0.0, white
    return (low, high) if high > low else (low, low + 1.0)


def _to_srgb(image: Image.Image) -> tuple[str, Convert] | None:
    """The mode and the transform from the image's color space; None without a usable profile."""
    if image.mode == "LAB":
        return "LAB", _transform(ImageCms.createProfile("LAB"), "LAB")
    profile_bytes = image.info.get("icc_profile")
    base = _BASE.get(image.mode)
    if not isinstance(profile_bytes, bytes) or len(profile_bytes) > MAX_PROFILE_BYTES or base is None:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(profile_bytes))
        if profile.profile.xcolor_space.strip() != _SPACE[base]:
            return None  # the profile is for other channels
        if "sRGB" in (profile.profile.profile_description or ""):
            return None  # already sRGB; conversion would only add rounding
        return base, _transform(profile, base)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # an image with a broken profile is still accepted


def _transform(profile: Any, mode: str) -> Convert:
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")

    def apply(strip: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(strip, transform)
        assert converted is not None  # None only for inPlace=True
        return converted

    return apply
