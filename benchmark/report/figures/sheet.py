"""Pictures in rows with words at them: contact sheets."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmark.report.figures.style import INK, WIDE, canvas

_FEWEST = 8  # columns of a page: pictures of 64 pixels are not blown up more


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture in base64, what stands below it, and whether it is framed."""

    picture: str
    below: str
    framed: bool = False


def sheet(tiles: Sequence[Tile], columns: int) -> Figure:
    """Row by row, as many as fit."""
    rows = -(-len(tiles) // columns)
    side = WIDE / max(columns, _FEWEST)
    lines = max((tile.below.count("\n") + 1 for tile in tiles if tile.below), default=0)
    figure, axes = canvas(rows * (side + 0.13 * lines), columns, rows, columns * side)
    for ax in axes:
        ax.set_axis_off()
    for ax, tile in zip(axes, tiles, strict=False):
        ax.imshow(_decoded(tile.picture), interpolation="nearest")
        ax.text(0.5, -0.04, tile.below, transform=ax.transAxes, ha="center", va="top", fontsize=6.5)
        if tile.framed:
            ax.set_axis_on()
            ax.set_xticks([])
            ax.set_yticks([])
            for spine in ax.spines.values():
                spine.set(visible=True, linewidth=2.5, color=INK)
    return figure


def _decoded(picture: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image.convert("RGB"))
