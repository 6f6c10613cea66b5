"""A confusion matrix: rows who plotted it, columns who was nearest, in per cent of the row."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from evaluation.report.figures.style import WIDE, canvas


def matrix(names: Sequence[str], table: Sequence[Sequence[int]], recall: Sequence[Sequence[float]] | None) -> Figure:
    """`recall` are the 95 % intervals of the diagonal, written beside the rows."""
    counts = np.array(table, float)
    shares = 100 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure, (ax,) = canvas(min(WIDE, 1.6 + 0.36 * len(names)))
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=100, aspect="auto")
    ax.grid(visible=False)
    for (row, column), share in np.ndenumerate(shares):
        if share:
            color = "white" if share > 55 else "black"
            weight = "bold" if row == column else "normal"
            ax.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontweight=weight)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("nearest source, % of the row")
    ax.set_ylabel("plotted by")
    if recall:
        for row, (low, high) in enumerate(recall):
            ax.text(len(names) - 0.4, row, f"{100 * low:.0f}–{100 * high:.0f} %", va="center")
        ax.text(len(names) - 0.4, -0.9, "95 % interval\nof the right ones", va="bottom")
    return figure
