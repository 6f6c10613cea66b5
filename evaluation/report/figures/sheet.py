"""Images in rows with words below them: contact sheets."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from evaluation.report.figures.style import INK, WIDE, blank

_FEWEST = 8  # columns of a page: images of 64 pixels are not blown up more
_GAP, _LINE = 0.07, 0.115  # inches


@dataclass(frozen=True, slots=True)
class Tile:
    """An image in base64, the text below it, and whether it is framed."""

    image_base64: str
    below: str
    framed: bool = False


def sheet(tiles: Sequence[Tile], columns: int) -> Figure:
    """Row by row, as many as fit; a row is as high as its words need."""
    step = WIDE / max(columns, _FEWEST)
    side = step - _GAP
    rows = [tiles[at : at + columns] for at in range(0, len(tiles), columns)]
    highs = [side + _GAP + _LINE * max(_lines(tile) for tile in row) for row in rows]
    high = sum(highs) + _GAP
    figure = blank(WIDE, high)
    for row, tiles_of_row in enumerate(rows):
        top = sum(highs) - sum(highs[:row])
        for column, tile in enumerate(tiles_of_row):
            left = column * step + _GAP / 2
            place = (left / WIDE, (top - side) / high, side / WIDE, side / high)
            ax = figure.add_axes(place, xticks=[], yticks=[])
            ax.imshow(_decoded(tile.image_base64), interpolation="nearest")
            for spine in ax.spines.values():
                spine.set(visible=tile.framed, linewidth=3, color=INK)
            middle = (left + side / 2) / WIDE
            figure.text(middle, (top - side - 0.03) / high, tile.below, ha="center", va="top", fontsize=6)
    return figure


def _lines(tile: Tile) -> int:
    return tile.below.count("\n") + 1 if tile.below else 0


def _decoded(image_base64: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(base64.b64decode(image_base64))) as image:
        return np.asarray(image.convert("RGB"))
