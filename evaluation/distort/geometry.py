"""Other sizes, other frames, a little askew."""

from PIL import Image

from evaluation.distort.distortion import Apply, Dice


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
