"""Contact sheets to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def sheet(images: Sequence[NDArray[np.uint8]], columns: int, zoom: int = 2) -> Image.Image:
    """Pastes images of one size in rows, enlarged without smoothing."""
    blank = [np.zeros_like(images[0])] * (-len(images) % columns)
    cells = [*images, *blank]
    rows = [np.concatenate(cells[start : start + columns], 1) for start in range(0, len(cells), columns)]
    picture = Image.fromarray(np.concatenate(rows))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
