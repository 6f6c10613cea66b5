"""Colors and light."""

from PIL import ImageEnhance
from PIL.Image import Image

from evaluation.distort.distortion import Apply, Dice


def contrast(low: float, high: float) -> Apply:
    """Times a factor from `low` to `high`, around the image's mean gray."""
    return lambda image, dice: ImageEnhance.Contrast(image).enhance(float(dice.uniform(low, high)))


def brightness(low: float, high: float) -> Apply:
    """Times a factor from `low` to `high`."""
    return lambda image, dice: ImageEnhance.Brightness(image).enhance(float(dice.uniform(low, high)))


def round_trip(mode: str) -> Apply:
    """Into another mode of Pillow's and back: "L" loses the colors, "HSV" and "CMYK" what rounding takes."""

    def apply(image: Image, dice: Dice) -> Image:
        return image.convert(mode).convert("RGB")

    return apply
