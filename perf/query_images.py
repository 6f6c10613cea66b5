"""Query images for measurements with the small models: coarse faces, all different, the same in every run."""

import io
import random

from PIL import Image, ImageDraw

SKINS = ("#ffdbb4", "#d08b5b", "#ae5d29", "#614335")
HAIRS = ("#2c1b18", "#f0c850", "#c93305", "#724133", "#4a7bd0", "#e8e1e1")
GROUNDS = ("#b6e3f4", "#ffd5dc", "#d1d4f9", "#c8f2c2", "#fff3b0", "#d9d9d9")


def face(number: int, side: int = 128) -> bytes:
    """A PNG of face number `number`."""
    dice = random.Random(number)
    image = Image.new("RGB", (side, side), dice.choice(GROUNDS))
    draw = ImageDraw.Draw(image)
    hair, wide = dice.choice(HAIRS), dice.uniform(0.22, 0.3)
    draw.rectangle(_box(side, 0.5, 1.0, wide * 1.3, 0.22), fill=dice.choice(HAIRS))
    draw.ellipse(_box(side, 0.5, 0.42, wide * 1.2, 0.34), fill=hair)
    draw.ellipse(_box(side, 0.5, 0.52, wide, 0.3), fill=dice.choice(SKINS))
    for at in (0.4, 0.6):
        draw.ellipse(_box(side, at, 0.5, 0.03, 0.03), fill="black")
    draw.arc(_box(side, 0.5, 0.62, 0.1, 0.06), 10, 170, fill="black", width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _box(side: int, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
    return (side * (x - rx), side * (y - ry), side * (x + rx), side * (y + ry))
