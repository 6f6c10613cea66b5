"""The canonical form in which a query and generated images are compared: the middle square, 256×256, JPEG 90.

Without it, size and file format would say more about a source than its pixels do.
"""

from io import BytesIO
from typing import Final

from PIL import Image

SIDE: Final = 256
QUALITY: Final = 90


def canonical(image: Image.Image) -> Image.Image:
    """The middle square of an RGB image, 256×256, after one JPEG compression of quality 90."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
    )
    file = BytesIO()
    square.save(file, "JPEG", quality=QUALITY)
    with Image.open(file, formats=["JPEG"]) as decoded:
        return decoded.convert("RGB")
