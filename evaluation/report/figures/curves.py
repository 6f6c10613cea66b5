"""Accuracy along something: shots per class, images generated, seconds, a caption's similarity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from evaluation.report.figures.style import GRAY, INK, LINES, canvas, whiskers


@dataclass(frozen=True, slots=True)
class Point:
    """Where, how much, and its 95 % interval."""

    x: float
    y: float
    bounds: Sequence[float]


@dataclass(frozen=True, slots=True)
class Flat:
    """A value that does not depend on x, with its interval."""

    name: str
    y: float
    bounds: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """Curves by name; `ticks` makes the axis logarithmic. `crossings` are where a curve first stays above `flat`."""

    title: str
    axis: str
    curves: Mapping[str, Sequence[Point]]
    ticks: Sequence[float] | None = None
    flat: Flat | None = None
    chance: float | None = None
    crossings: Sequence[tuple[str, float]] = ()


def curves(panels: Sequence[CurvePanel], height: float = 3.2, top: float | None = None) -> Figure:
    """Panels side by side with one axis of accuracy and one legend below."""
    figure, axes = canvas(height, len(panels), sharey=True)
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    for ax, panel in zip(axes, panels, strict=True):
        _lines(ax, panel, names)
        ax.set_title(panel.title, loc="left")
        ax.set_xlabel(panel.axis)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if panel.ticks:
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(FixedLocator(list(panel.ticks)))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.set_xticklabels([f"{tick:g}" for tick in panel.ticks])
    axes[0].set_ylabel("attributed rightly")
    axes[0].set_ylim(0, top)
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=4 if len(handles) == 4 else 3
    )
    return figure


def _lines(ax: Axes, panel: CurvePanel, names: Sequence[str]) -> None:
    if panel.chance is not None:
        ax.axhline(panel.chance, color=GRAY, linewidth=0.8, linestyle=":", label="chance")
    if panel.flat is not None:
        if panel.flat.bounds:
            ax.axhspan(*panel.flat.bounds, color="#e4e4e4", zorder=0)
        ax.axhline(panel.flat.y, color=INK, linewidth=2, label=panel.flat.name)
    for name, points in panel.curves.items():
        at = names.index(name)
        style = LINES[(at + (panel.flat is not None)) % len(LINES)]
        apart = 1 + 0.025 * (at - len(names) / 2) if panel.ticks else 1.0  # else whiskers hide each other
        xs = [point.x * apart for point in points]
        ax.plot(xs, [point.y for point in points], label=name, **style)
        for x, point in zip(xs, points, strict=True):
            error = whiskers(point.y, point.bounds)
            ax.errorbar([x], [point.y], yerr=error, color=style["color"], linewidth=0.7, linestyle="")
    for name, x in panel.crossings:
        found = [point for point in panel.curves.get(name, ()) if point.x == x]
        if found:
            ax.plot([x], [found[0].y], "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, zorder=4)
