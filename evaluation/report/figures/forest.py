"""Values with intervals, one below another: dots, or bars where a share of a whole is meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evaluation.report.figures.style import BARS, GRAY, INK, LINES, canvas, whiskers

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
