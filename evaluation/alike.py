"""Gives images one size and one format, so that these, borders and signatures do not reveal their source."""

from io import BytesIO

from PIL import Image

SIDE, QUALITY = 256, 90
_WIDTH, _HEIGHT = 0.03, 0.08  # cut off at each edge: some generators sign there
HELP = (
    f"of a folder: edges cut, the middle square as {SIDE}×{SIDE} pixels, JPEG {QUALITY}, "
    "so that size, format and borders do not reveal the source"
)


def alike(image: Image.Image) -> bytes:
    """The middle of an image as a JPEG: 3 % of the width and 8 % of the height less at each edge, then square."""
    x, y = int(_WIDTH * image.width), int(_HEIGHT * image.height)
    width, height = image.width - 2 * x, image.height - 2 * y
    side = min(width, height)
    left, top = x + (width - side) // 2, y + (height - side) // 2
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    file = BytesIO()
    square.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
