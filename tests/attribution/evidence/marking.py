"""Writes the marks that `watermark` reads, as imwatermark 0.2.0 does: slowly, block by block, with its quirks."""

import numpy as np
import numpy.typing as npt
from PIL import Image


def mark(image: Image.Image, bits: npt.NDArray[np.bool_], offset: float) -> Image.Image:
    """The image with the bits in it, written from bytes (`offset` 128) or from floats (0.5)."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float64)
    y = rgb @ [0.299, 0.587, 0.114]
    u, v = 0.492 * (rgb[..., 2] - y) + offset, 0.877 * (rgb[..., 0] - y) + offset
    if offset == 128:
        y, u, v = np.rint(y), np.rint(u), np.rint(v)
    height, width = u.shape[0] // 4 * 4, u.shape[1] // 4 * 4
    quads = u[:height, :width].reshape(height // 2, 2, width // 2, 2).swapaxes(1, 2)  # (h/2, w/2, 2, 2)
    low = quads.sum(axis=(2, 3)) / 2
    marked = low.copy()
    count = 0
    for top in range(0, low.shape[0] // 4 * 4, 4):
        for left in range(0, low.shape[1] // 4 * 4, 4):
            block = marked[top : top + 4, left : left + 4]
            at = np.unravel_index(np.abs(block.ravel()[1:]).argmax() + 1, (4, 4))
            size = (abs(block[at]) // 36 + 0.25 + 0.5 * bits[count % len(bits)]) * 36
            block[at] = size if block[at] >= 0 else -size
            count += 1
    # The library hands the two detail bands back in the wrong order, which transposes every quad.
    quads = quads.swapaxes(2, 3) + ((marked - low) / 2)[..., None, None]
    u[:height, :width] = quads.swapaxes(1, 2).reshape(height, width)
    if offset == 128:
        u = np.trunc(u) % 256  # as its array of bytes takes them
    u, v = u - offset, v - offset
    back = np.stack([y + 1.14 * v, y - 0.395 * u - 0.581 * v, y + 2.032 * u], axis=-1)
    return Image.fromarray(np.clip(np.rint(back), 0, 255).astype(np.uint8))
