"""The ranking stage: distances become means over γ, an order, a margin and scores. No model, no images.

arXiv 2510.24278 takes the source with the smallest distance; the mean over γ drawings is arXiv 2403.01489's.
"""

from collections.abc import Sequence

import numpy as np

from attribution.errors import AttributionError
from attribution.ports import Distance, Distances, Embedded, Ranked, Ranking


def rank(embedded: Embedded, distance: Distance, order: Sequence[str], temperature: float = 1.0) -> Ranking:
    """Tested sources, nearest first; equal means stand in `order`, which may name untested sources too.

    Scores are softmax(−mean/τ) over the tested sources: comparable within one ranking, no probabilities.
    """
    strangers = set(embedded.drawings) - set(order)
    if strangers:
        raise AttributionError(f"Features came from sources nobody asked: {', '.join(sorted(strangers))}.")
    tested = [source for source in order if source in embedded.drawings]
    if not tested:
        return Ranking(distance.name, (), None, temperature)
    apart = [_checked(source, distance(embedded.query, embedded.drawings[source])) for source in tested]
    means = np.array([d.mean() for d in apart])  # (n_sources,)
    scores = _softmax(-means / temperature)
    nearest = np.argsort(means, kind="stable")  # stable: ties keep catalogue order
    entries = tuple(
        Ranked(tested[i], float(means[i]), float(scores[i]), tuple(float(d) for d in apart[i])) for i in nearest
    )
    margin = entries[1].distance - entries[0].distance if len(entries) > 1 else None
    return Ranking(distance.name, entries, margin, temperature)


def _checked(source: str, distances: Distances) -> Distances:
    if distances.size == 0 or not np.isfinite(distances).all():
        raise AttributionError(
            f"The features of the query or of {source} give no distance: they are not finite numbers."
        )
    return distances


def _softmax(logits: Distances) -> Distances:
    shifted = np.exp(logits - logits.max())
    scores: Distances = shifted / shifted.sum()
    return scores
