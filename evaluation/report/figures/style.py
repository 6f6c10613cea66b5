"""What all figures share: fonts, sizes, markers and hatches that work without color, and rendering to PNG."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

Plot = Callable[[], Figure]
WIDE = 7.2  # inches, a page's width
_DPI = 150
_COLORS = 256
# Dark enough to print, and each with a marker and a dash of its own, so that no color is needed.
LINES: Sequence[Mapping[str, Any]] = (
    {"color": "#111111", "marker": "o", "linestyle": "-"},
    {"color": "#1f5f99", "marker": "s", "linestyle": "--"},
    {"color": "#a0431c", "marker": "^", "linestyle": "-."},
    {"color": "#4d7a2a", "marker": "D", "linestyle": (0, (1, 1))},
    {"color": "#7a4a9c", "marker": "v", "linestyle": (0, (5, 1))},
    {"color": "#666666", "marker": "P", "linestyle": (0, (3, 1, 1, 1, 1, 1))},
    {"color": "#96762a", "marker": "X", "linestyle": (0, (8, 2))},
    {"color": "#338080", "marker": "*", "linestyle": (0, (2, 3))},
)
BARS: Sequence[Mapping[str, Any]] = (
    {"facecolor": "#9a9a9a", "edgecolor": "#111111", "hatch": ""},
    {"facecolor": "#ffffff", "edgecolor": "#111111", "hatch": "////"},
    {"facecolor": "#e4e4e4", "edgecolor": "#111111", "hatch": "...."},
)
INK, GRAY = "#111111", "#777777"
_STYLE: Any = {  # matplotlib types its keys one by one
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "errorbar.capsize": 2,
    "hatch.linewidth": 0.6,
    "savefig.dpi": _DPI,
    "svg.hashsalt": "0",
}


def render(plot: Plot) -> bytes:
    """A PNG without date, program or anything else that is not in the figure."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = plot()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    with Image.open(buffer) as plotted:
        few = plotted.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return out.getvalue()


def blank(width: float, height: float) -> Figure:
    """A figure of so many inches that is laid out by hand."""
    return Figure(figsize=(width, height), dpi=_DPI)


def canvas(height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A page-wide figure and its axes, row by row."""
    figure = Figure(figsize=(WIDE, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def whiskers(value: float, bounds: Sequence[float]) -> list[list[float]]:
    """What errorbar() wants, which takes no negative length."""
    return [[max(0.0, value - bounds[0])], [max(0.0, bounds[1] - value)]]
