"""Less sharp."""

from PIL import ImageFilter

from evaluation.distort.distortion import Apply


def blur() -> Apply:
    """Pillow's `BLUR`, a ring of five by five."""
    return lambda image, dice: image.filter(ImageFilter.BLUR)


def median(sizes: tuple[int, ...]) -> Apply:
    """A median over a window of one of these sizes."""
    return lambda image, dice: image.filter(ImageFilter.MedianFilter(int(dice.choice(sizes))))


def gaussian(low: float, high: float) -> Apply:
    """A standard deviation from `low` to `high` pixels."""
    return lambda image, dice: image.filter(ImageFilter.GaussianBlur(float(dice.uniform(low, high))))
