"""Chooses the thresholds of the verdict for one embedder, distance, γ and set of sources.

Images of unknown sources are simulated by leaving sources out: each original is ranked a second time without its own
source. A source is named where its distance is at most `max_distance` and its margin at least `min_margin`.

The best of thousands of threshold pairs is partly luck: thresholds that were chosen on 32 characters without a reserve
named 92 % rightly there, and 76 % on a hundred others. So the bounds must hold with a reserve, and the reported figures
are measured on characters that had no part in the choice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.evaluate import Rankings
from evaluation.metrics import auroc

PRECISION = 0.90
FALSE_NAMES = 0.05
KEPT = 0.90
_FEWEST = 10  # named queries, fewer are too few for a share
_RESERVE = 0.8416  # standard deviations: the bounds hold with 80 % confidence, were queries independent
_FOLDS = 5
_STEPS = 60
_RESAMPLES = 1_000


@dataclass(frozen=True)
class Nearest:
    """Per query: the best distance, the margin to the second, and whether the nearest is right; all (S, P)."""

    distance: NDArray[np.float64]
    margin: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pair:
    """Thresholds, and the shares of queries they name: of all, rightly among the named, of those left out."""

    max_distance: float
    min_margin: float
    named: float
    precision: float
    right_kept: float
    left_out_named: float


def all_candidates(found: Rankings) -> Nearest:
    """All sources are candidates."""
    return _nearest(found.distances, found.right)


def left_out(found: Rankings) -> Nearest:
    """The query's source is no candidate: the nearest is wrong. Needs three sources for a margin."""
    distances = found.distances.copy()
    for i in range(len(found.sources)):
        distances[i, :, i] = np.inf
    return _nearest(distances, np.zeros_like(found.right))


def _nearest(distances: NDArray[np.float64], right: NDArray[np.bool_]) -> Nearest:
    two = np.sort(distances, axis=2)[:, :, :2]
    return Nearest(two[:, :, 0], two[:, :, 1] - two[:, :, 0], right)


def judged(thresholds: tuple[float, float], own: Nearest, unknown: Nearest) -> Pair:
    """What a pair of thresholds does."""
    limit, lead = thresholds
    named = (own.distance <= limit) & (own.margin >= lead)
    wrongly = (unknown.distance <= limit) & (unknown.margin >= lead)
    return Pair(
        limit,
        lead,
        float(named.mean()),
        float(own.right[named].mean()) if named.any() else 1.0,
        float(named[own.right].mean()) if own.right.any() else 0.0,
        float(wrongly.mean()),
    )


def choose(own: Nearest, unknown: Nearest) -> Pair:
    """Names as many as it can, with nine in ten of the named right and at most one in twenty of the unknown named.

    Naming nothing at all is always within these bounds: a distance of −1 is never reached.
    """
    count = own.right.size
    nothing = judged((-1.0, 0.0), own, unknown)
    within = [
        pair
        for pair in _pairs(own, unknown)
        if (named := pair.named * count) >= _FEWEST
        and bound(pair.precision, named, -_RESERVE) >= PRECISION
        and bound(pair.left_out_named, count, _RESERVE) <= FALSE_NAMES
    ]
    return max([nothing, *within], key=lambda pair: (pair.named, pair.precision))


def bound(share: float, count: float, deviations: float) -> float:
    """Wilson's bound of a share that was seen in `count` cases, so many standard deviations up or down."""
    spread = math.sqrt(share * (1 - share) / count + deviations**2 / (4 * count**2))
    return (share + deviations**2 / (2 * count) + deviations * spread) / (1 + deviations**2 / count)


def cross_validated(found: Rankings) -> dict[str, float]:
    """What thresholds chosen on four fifths of the characters do on the last fifth; over all five of these."""
    count = found.distances.shape[1]
    own, unknown = all_candidates(found), left_out(found)
    named, wrongly = np.zeros_like(own.right), np.zeros_like(own.right)
    for fold in range(min(_FOLDS, count) if count > 1 else 0):
        held = np.arange(count) % _FOLDS == fold
        rest = Rankings(found.sources, found.distances[:, ~held])
        pair = choose(all_candidates(rest), left_out(rest))
        for which, answer in ((own, named), (unknown, wrongly)):
            passes = (which.distance <= pair.max_distance) & (which.margin >= pair.min_margin)
            answer[:, held] = passes[:, held]
    return {
        "coverage": float(named.mean()),
        "precision_among_attributed": float(own.right[named].mean()) if named.any() else 1.0,
        "left_out_attributed": float(wrongly.mean()),
    }


def keep(own: Nearest, unknown: Nearest) -> Pair:
    """Keeps nine in ten of the right attributions, and of all pairs that do names the fewest unknown ones."""
    everything = judged((float(own.distance.max()), 0.0), own, unknown)
    keeping = [pair for pair in _pairs(own, unknown) if pair.right_kept >= KEPT]
    return min([everything, *keeping], key=lambda pair: (pair.left_out_named, -pair.right_kept))


def _pairs(own: Nearest, unknown: Nearest) -> Sequence[Pair]:
    limits = np.quantile(own.distance, np.linspace(0.02, 1, _STEPS))
    leads = [0.0, *np.quantile(own.margin, np.linspace(0, 0.98, _STEPS))]
    return [judged((float(limit), float(lead)), own, unknown) for limit in limits for lead in leads]


def leave_one_out(found: Rankings) -> dict[str, Any]:
    """Per left-out source and over all: how well distance and margin detect it, and the cost of keeping 90 %.

    `wrong_at_90` is the share of queries named although their source was left out, with the thresholds that keep 90 %
    of the right attributions.
    """
    own, unknown = all_candidates(found), left_out(found)
    pair = keep(own, unknown)
    wrongly = (unknown.distance <= pair.max_distance) & (unknown.margin >= pair.min_margin)

    def row(i: int | slice) -> dict[str, float]:
        return {
            "auroc_distance": auroc(-own.distance[i].ravel(), -unknown.distance[i].ravel()),
            "auroc_margin": auroc(own.margin[i].ravel(), unknown.margin[i].ravel()),
            "wrong_at_90": float(wrongly[i].mean()),
        }

    return {
        "all": row(slice(None)),
        "sources": {name: row(i) for i, name in enumerate(found.sources)},
        "max_distance": pair.max_distance,
        "min_margin": pair.min_margin,
        "right_kept": pair.right_kept,
    }


def with_intervals(report: dict[str, Any], found: Rankings, seed: int = 0) -> dict[str, Any]:
    """The same report; beside each AUROC the middle 95 % when characters are resampled with replacement."""
    own, unknown = all_candidates(found), left_out(found)
    random, count = np.random.default_rng(seed), found.distances.shape[1]
    chosen = random.integers(0, count, (_RESAMPLES, count))

    def resampled(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> list[float]:
        values = [auroc(mine[:, columns].ravel(), theirs[:, columns].ravel()) for columns in chosen]
        return [float(value) for value in np.quantile(values, [0.025, 0.975])]

    def row(i: slice) -> dict[str, list[float]]:
        return {
            "auroc_distance_interval_95": resampled(-own.distance[i], -unknown.distance[i]),
            "auroc_margin_interval_95": resampled(own.margin[i], unknown.margin[i]),
        }

    sources = {name: report["sources"][name] | row(slice(i, i + 1)) for i, name in enumerate(found.sources)}
    return report | {"all": report["all"] | row(slice(None)), "sources": sources}


def entry(
    found: Rankings, embedder: str, distance: str, images_per_source: int, revisions: dict[str, str]
) -> dict[str, Any]:
    """One entry of a calibration file, as attribution.verdict reads it."""
    own, unknown = all_candidates(found), left_out(found)
    # Rounded towards naming less, and measured again after rounding.
    chosen = choose(own, unknown)
    limit, lead = np.floor(chosen.max_distance * 1e6) / 1e6, np.ceil(chosen.min_margin * 1e6) / 1e6
    pair = judged((float(limit), float(lead)), own, unknown)
    loso = leave_one_out(found)["all"]
    return {
        "embedder": embedder,
        "distance": distance,
        "images_per_source": images_per_source,
        "sources": revisions,
        "max_distance": pair.max_distance,
        "min_margin": pair.min_margin,
        "measured": {
            "queries": own.right.size,
            "accuracy_if_always_named": round(float(own.right.mean()), 4),
            **{name: round(value, 4) for name, value in cross_validated(found).items()},
            "left_out_auroc_distance": round(loso["auroc_distance"], 4),
            "left_out_auroc_margin": round(loso["auroc_margin"], 4),
            "left_out_attributed_at_90": round(loso["wrong_at_90"], 4),
        },
    }
