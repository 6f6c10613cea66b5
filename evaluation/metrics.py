"""Figures of merit over rankings of S sources for n queries, and where a curve of them crosses a line.

`truth` is (n,), the index of each query's source.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.fuse import fused_scores

Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
Scores = NDArray[np.float64]  # (…, S, P, S): true source, character, candidate source
RESAMPLES = 10_000
WEIGHTS = np.linspace(0, 1, 21)  # of the external scores, from which validation queries choose


def nearest(distances: Floats) -> Indices:
    """(n, S) indices of sources, nearest first; ties stand in catalog order, as in attribution.rank."""
    return np.argsort(distances, axis=1, kind="stable")


def softmax(distances: Floats) -> NDArray[np.float64]:
    """(n, S) scores exp(−d), of sum one along a row: attribution.rank's with τ = 1."""
    shifted = np.exp(-(distances - distances.min(axis=1, keepdims=True)).astype(np.float64))
    scores: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return scores


def top(order: Indices, truth: Indices, k: int) -> NDArray[np.bool_]:
    """(n,) whether the right source is among the first k of (n, S) `order`."""
    return np.asarray((order[:, :k] == truth[:, None]).any(axis=1))


def confusion(predicted: Indices, truth: Indices, count: int) -> Indices:
    """(S, S) counts: rows are true sources, columns the nearest."""
    table = np.zeros((count, count), np.intp)
    np.add.at(table, (truth, predicted), 1)
    return table


def auroc(positive: Floats, negative: Floats) -> float:
    """How often a positive's score is above a negative's, a tie counting half; NaN where either is missing."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left").sum()
    up_to = np.searchsorted(ordered, positive, "right").sum()
    return float((int(below) + int(up_to)) / (2 * len(positive) * len(negative)))


def macro_auroc(scores: Floats, truth: Indices) -> float:
    """One source against the rest, by its own column of (n, S) scores, averaged over sources."""
    each = [auroc(scores[truth == s, s], scores[truth != s, s]) for s in range(scores.shape[1])]
    return float(np.mean(each))


def interval(values: NDArray[Any], groups: Sequence[int] | Indices | None = None, seed: int = 0) -> list[float]:
    """The middle 95 % of means of (…, P) values when columns, such as characters, are resampled with replacement.

    Columns that share their difficulty, such as images of one prompt, are resampled together: `groups`, (P,).
    For a difference between two methods on the same queries it is the paired interval.
    """
    columns = values.reshape(-1, values.shape[-1]).sum(axis=0, dtype=np.float64)
    rows = values.size // values.shape[-1]
    _, group = np.unique(np.arange(len(columns)) if groups is None else groups, return_inverse=True)
    sums, sizes = np.bincount(group, columns), np.bincount(group) * rows
    chosen = np.random.default_rng(seed).integers(0, len(sums), (RESAMPLES, len(sums)))
    low, high = np.quantile(sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1), [0.025, 0.975])
    return [float(low), float(high)]


def by_weight(own: Scores, theirs: Scores) -> Scores:
    """Accuracy for each of WEIGHTS."""
    return np.array([right(fused_scores(own, theirs, weight)).mean() for weight in WEIGHTS])


def right(scores: Scores) -> Scores:
    """(…, S, P) whether the greatest of the scores is the right one's; the first of equal ones counts."""
    s = scores.shape[-1]
    found: Scores = (scores.argmax(axis=-1) == np.arange(s)[:, None]).astype(np.float64)
    return found


def gains(
    alone: Scores, ours: Scores, fused: Scores, groups: Sequence[int] | Indices, weights: Sequence[float]
) -> dict[str, Any]:
    """(S, P) shares of right answers side by side, with intervals over groups of columns: see metrics.interval."""
    return {
        "weights": list(weights),
        "weight": float(np.mean(weights)),
        **{
            name: {"accuracy": float(values.mean()), "interval_95": interval(values, groups)}
            for name, values in (("alone", alone), ("resynthesis", ours), ("fused", fused))
        },
        "gain": float((fused - alone).mean()),
        "gain_interval_95": interval(fused - alone, groups),
        "gain_over_resynthesis": float((fused - ours).mean()),
        "gain_over_resynthesis_interval_95": interval(fused - ours, groups),
    }


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
