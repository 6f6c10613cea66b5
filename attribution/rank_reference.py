"""The cosine ranking in plain loops, slow and obviously right: a property test holds `rank.py` against it."""

import math
from collections.abc import Sequence

from attribution.distance.reference import cosine
from attribution.ports import Embedded, Ranked, Ranking


def rank_by_hand(embedded: Embedded, order: Sequence[str], temperature: float = 1.0) -> Ranking:
    """What `rank(embedded, distance_named("cosine"), order, temperature)` must say, up to rounding."""
    query = [float(x) for x in embedded.query]
    means: dict[str, float] = {}
    each: dict[str, tuple[float, ...]] = {}
    for source in order:
        if source not in embedded.drawings:
            continue
        distances = [cosine(query, [float(x) for x in drawing]) for drawing in embedded.drawings[source]]
        each[source] = tuple(distances)
        means[source] = math.fsum(distances) / len(distances)

    total = math.fsum(math.exp(-mean / temperature) for mean in means.values())
    left = list(means)
    entries: list[Ranked] = []
    while left:
        best = left[0]
        for source in left[1:]:
            if means[source] < means[best]:  # strictly: the earlier one keeps a tie
                best = source
        left.remove(best)
        entries.append(Ranked(best, means[best], math.exp(-means[best] / temperature) / total, each[best]))

    margin = entries[1].distance - entries[0].distance if len(entries) > 1 else None
    return Ranking("cosine", tuple(entries), margin, temperature)
