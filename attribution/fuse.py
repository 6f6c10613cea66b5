"""The plug-in: our ranking fused with another method's scores, as arXiv 2403.01489 proposes without saying how.

    fused = (1 − w) · z(−distance) + w · z(score)

Both are z-scored within the one answer, over the sources that have them: neither has a scale that the other knows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from attribution.errors import AttributionError
from attribution.ports import FUSION_WEIGHT, Distances, Fusion, Ranking


def fuse(
    ranking: Ranking, external_scores: Mapping[str, float], order: Sequence[str], weight: float = FUSION_WEIGHT
) -> Ranking:
    """The tested sources by fused score, greatest first; equal ones in `order`. Distances stay as they are.

    `external_scores` is greater for what is likelier. A tested source without one counts as an average one there; what has one
    and was not tested stays out, and has no part in the z-scores. Raises AttributionError as `check_external_scores` does.
    """
    check_external_scores(external_scores, weight)
    place = {source: at for at, source in enumerate(order)}
    entries = sorted(ranking.entries, key=lambda entry: place[entry.source])
    own = z_scores(np.array([-entry.distance for entry in entries]))
    theirs = z_scores(np.array([external_scores.get(entry.source, math.nan) for entry in entries]))
    fused = fused_scores(own, theirs, weight)
    first = np.argsort(-fused, kind="stable")
    unused = sorted(
        external_scores.keys() - {entry.source for entry in entries}, key=lambda source: place.get(source, len(place))
    )
    return replace(
        ranking,
        entries=tuple(
            replace(entries[i], external_scores=external_scores.get(entries[i].source), fused=float(fused[i]))
            for i in first
        ),
        fusion=Fusion(weight, float(fused[first[0]] - fused[first[1]]) if len(first) > 1 else None, tuple(unused)),
    )


def check_external_scores(external_scores: Mapping[str, float], weight: float) -> None:
    """Raises AttributionError where a score is not finite or the weight not from 0 to 1: better before generating."""
    if not 0 <= weight <= 1:
        raise AttributionError(f"The weight of the other method's scores must be from 0 to 1, not {weight!r}.")
    for source, score in external_scores.items():
        if not math.isfinite(score):
            raise AttributionError(f"The other method's score of {source} is not a finite number.")


def fused_scores(own: Distances, theirs: Distances, weight: float) -> Distances:
    """(…, S) weighted sums of (…, S) z-scores."""
    return (1 - weight) * own + weight * theirs


def z_scores(scores: Distances) -> Distances:
    """(…, S) deviations from a row's mean in its standard deviations; 0 where all are the same, and for NaN."""
    if not scores.size:
        return scores
    there = np.isfinite(scores)
    count = np.maximum(1, there.sum(axis=-1, keepdims=True))
    known = np.where(there, scores, 0.0)
    # By the greatest: scores may be so large that their squares are not numbers any more.
    scale = np.abs(known).max(axis=-1, keepdims=True)
    known = np.divide(known, scale, out=np.zeros_like(known), where=scale > 0)
    apart = np.where(there, known - known.sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.sqrt((apart**2).sum(axis=-1, keepdims=True) / count)
    standard: Distances = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 1e-12)
    return standard
