"""The canonical form in which a query and generated images are compared: the middle square, 256×256, JPEG 90.

Without it, size and file format would say more about a source than its pixels do.
"""

from io import BytesIO
from typing import Final

from PIL import Image

SIDE: Final = 256
QUALITY: Final = 90


def canonical(image: Image.Image, reduced_to: int | None = None) -> Image.Image:
    """The middle square of an RGB image, 256×256, after one JPEG compression of quality 90.

    With `reduced_to` it has the detail of so many pixels a side: it is made that small, and enlarged again.
    """
    square = image.convert("RGB")
    if reduced_to is not None and reduced_to < min(square.size):
        square = middle_square(square, reduced_to)
    file = BytesIO()
    middle_square(square, SIDE).save(file, "JPEG", quality=QUALITY)
    with Image.open(file, formats=["JPEG"]) as decoded:
        return decoded.convert("RGB")


def middle_square(image: Image.Image, side: int) -> Image.Image:
    """The middle square, `side` pixels wide."""
    shorter = min(image.size)
    left, top = (image.width - shorter) // 2, (image.height - shorter) // 2
    return image.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + shorter, top + shorter))
