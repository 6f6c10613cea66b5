"""Charts: curves of accuracy, values with intervals one below another (dots or bars), and confusion matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from evaluation.report.figures.style import BARS, GRAY, INK, LINES, WIDE, canvas, whiskers


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


_ROW = 0.19  # inches


@dataclass(frozen=True, slots=True)
class Value:
    """A point with its 95 % interval, None where there is none."""

    at: float
    bounds: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class ForestPanel:
    """Rows of `series`: `values[series][row]`, None where it was not measured. `reference` is where a line stands."""

    title: str
    axis: str
    rows: Sequence[str]
    values: Mapping[str, Sequence[Value | None]]
    reference: float | None = None
    band: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None


def dots(panels: Sequence[ForestPanel]) -> Figure:
    """A dot and whiskers for each value."""
    figure, axes = _frame(panels)
    for ax, panel in zip(axes, panels, strict=True):
        for s, (name, values) in enumerate(panel.values.items()):
            style = LINES[s]
            for row, value in enumerate(values):
                if value is None:
                    continue
                y = row + _shift(s, len(panel.values))
                error = whiskers(value.at, value.bounds) if value.bounds else None
                ax.errorbar(
                    [value.at], [y], xerr=error, color=style["color"], marker=style["marker"], linewidth=1, zorder=3
                )
            if len(panel.values) > 1:
                ax.plot([], [], linestyle="", color=style["color"], marker=style["marker"], label=name)
    _legend(figure, axes)
    return figure


def bars(panels: Sequence[ForestPanel]) -> Figure:
    """A bar from nought for each value; hatches distinguish series."""
    figure, axes = _frame(panels)
    for ax, panel in zip(axes, panels, strict=True):
        thick = 0.75 / len(panel.values)
        for s, (name, values) in enumerate(panel.values.items()):
            for row, value in enumerate(values):
                if value is None:
                    continue
                y = row + _shift(s, len(panel.values))
                label = name if row == 0 and len(panel.values) > 1 else None
                ax.barh(y, value.at, thick, linewidth=0.6, label=label, **BARS[s])
                if value.bounds:
                    error = whiskers(value.at, value.bounds)
                    ax.errorbar([value.at], [y], xerr=error, color=INK, linewidth=0.8, linestyle="")
    _legend(figure, axes)
    return figure


def _frame(panels: Sequence[ForestPanel]) -> tuple[Figure, list[Axes]]:
    rows = max(len(panel.rows) * max(1, len(panel.values) * 0.75) for panel in panels)
    figure, axes = canvas(1.0 + _ROW * rows, len(panels))
    alike = all(panel.rows == panels[0].rows for panel in panels)
    for ax, panel in zip(axes, panels, strict=True):
        named = ax is axes[0] or not alike
        ax.set_yticks(range(len(panel.rows)), panel.rows if named else [""] * len(panel.rows))
        ax.set_ylim(len(panel.rows) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(panel.axis)
        ax.set_title(panel.title, loc="left")
        if panel.limits:
            ax.set_xlim(*panel.limits)
        if panel.band:
            ax.axvspan(*panel.band, color="#e8e8e8", zorder=0)
        if panel.reference is not None:
            ax.axvline(panel.reference, color=GRAY, linewidth=0.9, linestyle="--", zorder=1)
    return figure, axes


def _shift(series: int, count: int) -> float:
    return (series - (count - 1) / 2) * 0.75 / count


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One for all panels, where there are several series."""
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))


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
    ax.set_ylabel("generated by")
    if recall:
        for row, (low, high) in enumerate(recall):
            ax.text(len(names) - 0.4, row, f"{100 * low:.0f}–{100 * high:.0f} %", va="center")
        ax.text(len(names) - 0.4, -0.9, "95 % interval\nof the right ones", va="bottom")
    return figure
