"""The cosine ranking in plain loops: slow and simple; a property test compares `rank.py` with it."""

import math
from collections.abc import Sequence

from attribution.distance.reference import cosine
from attribution.ports import Aggregate, Embedded, Ranked, Ranking


def rank_in_plain_loops(
    embedded: Embedded, order: Sequence[str], temperature: float = 1.0, aggregate: Aggregate = Aggregate.MEAN
) -> Ranking:
    """What `rank(embedded, distance_named("cosine"), order, temperature, aggregate)` must return, up to rounding."""
    query = [float(x) for x in embedded.query]
    whole: dict[str, float] = {}
    each: dict[str, tuple[float, ...]] = {}
    for source in order:
        if source not in embedded.generated_images:
            continue
        distances = [
            cosine(query, [float(x) for x in generated_image]) for generated_image in embedded.generated_images[source]
        ]
        each[source] = tuple(distances)
        whole[source] = _whole(sorted(distances), aggregate)

    total = math.fsum(math.exp(-mean / temperature) for mean in whole.values())
    left = list(whole)
    entries: list[Ranked] = []
    while left:
        best = left[0]
        for source in left[1:]:
            if whole[source] < whole[best]:  # strictly smaller: the earlier source wins a tie
                best = source
        left.remove(best)
        entries.append(Ranked(best, whole[best], math.exp(-whole[best] / temperature) / total, each[best]))

    margin = entries[1].distance - entries[0].distance if len(entries) > 1 else None
    return Ranking("cosine", tuple(entries), margin, temperature, aggregate=aggregate)


def _whole(ascending: Sequence[float], aggregate: Aggregate) -> float:
    count = len(ascending)
    if aggregate is Aggregate.MAX:
        return ascending[0]
    if aggregate is Aggregate.MEDIAN:
        return (ascending[(count - 1) // 2] + ascending[count // 2]) / 2
    return math.fsum(ascending) / count
