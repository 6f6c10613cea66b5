"""The ranking stage: γ distances become one, then an order, a margin and scores. No model, no images.

arXiv 2510.24278 selects the source with the smallest distance; the mean over γ images is arXiv 2403.01489's.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from attribution.errors import AttributionError
from attribution.ports import Aggregate, Distance, Distances, Embedded, Ranked, Ranking

_OVER_GENERATED_IMAGES: Mapping[Aggregate, Callable[..., Distances]] = {
    Aggregate.MEAN: np.mean,
    Aggregate.MAX: np.min,  # of similarity
    Aggregate.MEDIAN: np.median,
}


def rank(
    embedded: Embedded,
    distance: Distance,
    order: Sequence[str],
    temperature: float = 1.0,
    aggregate: Aggregate = Aggregate.MEAN,
) -> Ranking:
    """The tested sources, nearest first.

    Args:
        embedded: Features of the query and the generated images.
        distance: Between them.
        order: Decides ties; it may contain sources that were not tested.
        temperature: τ of the scores softmax(−distance/τ), which compare the sources of one ranking.
        aggregate: How a source's γ distances become one.

    Raises:
        AttributionError: Features are of a source outside `order`, or give no finite distance.
    """
    unknown = set(embedded.generated_images) - set(order)
    if unknown:
        raise AttributionError(
            f"There are features of sources that are not in the order: {', '.join(sorted(unknown))}."
        )
    tested = [source for source in order if source in embedded.generated_images]
    if not tested:
        return Ranking(distance.name, (), None, temperature, aggregate=aggregate)
    by_source = distance.among(embedded)
    distances = [_checked(source, by_source[source]) for source in tested]
    whole = np.array([over_generated_images(d, aggregate) for d in distances])  # (n_sources,)
    scores = _softmax(-whole / temperature)
    nearest = np.argsort(whole, kind="stable")  # stable: ties keep catalog order
    entries = tuple(
        Ranked(tested[i], float(whole[i]), float(scores[i]), tuple(float(d) for d in distances[i])) for i in nearest
    )
    margin = entries[1].distance - entries[0].distance if len(entries) > 1 else None
    return Ranking(distance.name, entries, margin, temperature, aggregate=aggregate)


def over_generated_images(distances: Distances, aggregate: Aggregate) -> Distances:
    """(…, γ) distances as (…), one for each source."""
    return _OVER_GENERATED_IMAGES[aggregate](distances, axis=-1)


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
