"""The figure of docs/method.md: accuracy with the past jobs of the bank, beside the papers' cosine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TITLE = "Demo models, four sources, four images each"


def save_growth(growth: Mapping[str, Any], cosine: Mapping[str, Any], path: Path) -> None:
    """Writes an SVG. `growth` has an accuracy with its interval by number of past jobs, "0" for no bank."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "whodrew"
    from matplotlib import pyplot

    counts = [int(count) for count in growth]
    shown = [max(count, 2) for count in counts]  # 0 has no place on a logarithmic axis
    means = [100 * each["accuracy"] for each in growth.values()]
    bounds = [[100 * bound for bound in each["interval_95"]] for each in growth.values()]
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4))
    axes.fill_between(shown, [low for low, _ in bounds], [high for _, high in bounds], alpha=0.2)
    axes.plot(shown, means, marker="o", label="residual (95 % interval)")
    axes.axhline(100 * cosine["accuracy"], color="gray", linestyle="--", label="cosine, the papers' method")
    axes.axhline(25, color="lightgray", linestyle=":", label="chance")
    axes.set_xscale("log")
    axes.set_xticks(shown, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("past jobs in the bank")
    axes.set_ylabel("right source first, %")
    axes.set_ylim(0, 100)
    axes.set_title(_TITLE, fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
