"""Late fusion: the ranking fused with another method's scores, which arXiv 2403.01489 proposes without a formula.

    fused = (1 − w) · z(−distance or match) + w · z(score)

Both are z-scored over the sources of the job that have them, because they have no common scale.
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
    """The tested sources by fused score, greatest first. Distances stay as they are.

    Args:
        ranking: The ranking by distance.
        external_scores: Greater is likelier. A tested source without a score counts as average; scores of sources that
            were not tested are ignored, also in the z-scores.
        order: Decides ties.
        weight: w, from 0 to 1.

    Raises:
        AttributionError: As `check_external_scores` does.
    """
    check_external_scores(external_scores, weight)
    place = {source: at for at, source in enumerate(order)}
    entries = sorted(ranking.entries, key=lambda entry: place[entry.source])
    own = z_scores(np.array([-entry.distance if entry.match is None else entry.match for entry in entries]))
    theirs = z_scores(np.array([external_scores.get(entry.source, math.nan) for entry in entries]))
    fused = fused_scores(own, theirs, weight)
    first = np.argsort(-fused, kind="stable")
    unused = sorted(
        external_scores.keys() - {entry.source for entry in entries}, key=lambda source: place.get(source, len(place))
    )
    return replace(
        ranking,
        entries=tuple(
            replace(entries[i], external_score=external_scores.get(entries[i].source), fused=float(fused[i]))
            for i in first
        ),
        fusion=Fusion(weight, float(fused[first[0]] - fused[first[1]]) if len(first) > 1 else None, tuple(unused)),
    )


def check_external_scores(external_scores: Mapping[str, float], weight: float) -> None:
    """Raises AttributionError if a score is not finite or the weight not from 0 to 1; call it before generating."""
    if not 0 <= weight <= 1:
        raise AttributionError(f"The weight of external scores must be from 0 to 1, not {weight!r}.")
    for source, score in external_scores.items():
        if not math.isfinite(score):
            raise AttributionError(f"The external score of {source} is not a finite number.")


def fused_scores(own: Distances, theirs: Distances, weight: float) -> Distances:
    """(…, S) weighted sums of (…, S) z-scores."""
    return (1 - weight) * own + weight * theirs


def z_scores(scores: Distances) -> Distances:
    """(…, S) z-scores of each row; 0 if all are equal, and for NaN."""
    if not scores.size:
        return scores
    finite = np.isfinite(scores)
    count = np.maximum(1, finite.sum(axis=-1, keepdims=True))
    known = np.where(finite, scores, 0.0)
    # Scaled by the greatest: the squares of large scores would overflow.
    scale = np.abs(known).max(axis=-1, keepdims=True)
    known = np.divide(known, scale, out=np.zeros_like(known), where=scale > 0)
    deviations = np.where(finite, known - known.sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.sqrt((deviations**2).sum(axis=-1, keepdims=True) / count)
    standard: Distances = np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 1e-12)
    return standard
