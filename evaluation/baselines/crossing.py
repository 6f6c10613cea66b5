"""Where a curve crosses the flat line, and which shots must be measured to find out."""

from collections.abc import Mapping, Sequence
from typing import Any


def crossing(curve: Mapping[int, float], flat: float) -> int | None:
    """The fewest shots from which on what was measured stays at or above the line; None where it never does."""
    found = None
    for n in sorted(curve, reverse=True):
        if curve[n] < flat:
            break
        found = n
    return found


def next_to_measure(grid: Sequence[int], curve: Mapping[int, float], flat: float) -> list[int]:
    """The next on an ascending grid, so that below and above the line end up as neighbors; nothing if they are.

    Halves the gap below the crossing, and measures the end of the grid before it concludes that there is no crossing.
    """
    at = crossing(curve, flat)
    if at is None:
        return [] if grid[-1] in curve else [grid[-1]]
    below = max((n for n in curve if n < at), default=0)
    gap = [n for n in grid if below < n < at]
    return [gap[len(gap) // 2]] if gap else []


def crossing_text(run: Mapping[str, Any], name: str) -> str:
    """The crossing of one curve of a report, as far as it was measured."""
    at = run["crosses_at"][name]
    if run["settled"][name]:
        return "never" if at is None else str(at)
    return "not known" if at is None else f"{at} or fewer"
