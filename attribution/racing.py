"""Racing: every source begins with one image, and only those that may still be the first get more.

One that is left alone gets all γ images at once: whether the image is by none of the sources is seen by its fit, and
of one generated image that says little. Without this, racing named 25 % of the queries and with it 35 %.

The rule is the same for a job in the service, for `attribute` in one process, and for the simulated queries on which
racing is calibrated (`bank/race_simulation.py`). It needs calibrated probabilities; without them all sources get all
images, as without racing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from attribution.ports import Method, Origin, Ranking
from attribution.race import Budget, RaceEnd, RaceRound

# A source less likely than this share of the likeliest is dropped. Chosen on the demo models' calibration characters.
FLOOR: Final = 0.2


def may_race(budget: Budget, method: Method, origins: Sequence[Origin], most: int) -> bool:
    """Whether a job's sources can race; with `AUTO`, past jobs of all of them are needed besides.

    Uploaded references are there already, and of a single source, or by distance, there are no probabilities.

    Args:
        budget: What was asked for.
        method: How sources are ranked.
        origins: Of the job's sources.
        most: γ.
    """
    generated = all(origin is Origin.GENERATOR for origin in origins)
    return budget is not Budget.FIXED and method is Method.RESIDUAL and generated and len(origins) > 1 < most


def next_round(
    probabilities: Mapping[str, float] | None, images: Mapping[str, int], asked: int, most: int
) -> RaceRound | RaceEnd:
    """Which sources get more images, or why the race ends.

    Args:
        probabilities: Of the tested sources; None where they are not calibrated.
        images: How many each tested source has.
        asked: How many each source of the last round was asked for. One that has fewer was dropped before, refused
            or failed, and is not asked again.
        most: γ.
    """
    able = [source for source, count in images.items() if asked <= count < most]
    if probabilities is None:
        return RaceRound(most, tuple(able)) if able else RaceEnd.ALL_IMAGES
    may_win = contenders(np.array(list(probabilities.values())))
    more = [source for source, may in zip(probabilities, may_win, strict=True) if may and source in able]
    alone = may_win.sum() == 1
    if not more:
        return RaceEnd.ONE_LEFT if alone else RaceEnd.ALL_IMAGES
    target = next_count(min(images[source] for source in more), most, alone)
    return RaceRound(target, tuple(source for source in more if images[source] < target))


def probabilities_of(ranking: Ranking) -> Mapping[str, float] | None:
    """The probabilities of a ranking's sources, in its order; None where they are not calibrated."""
    found = {entry.source: entry.probability for entry in ranking.entries if entry.probability is not None}
    return found or None


def contenders(probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """(…, S) which sources may still become the first."""
    return np.asarray(probabilities >= FLOOR * probabilities.max(axis=-1, keepdims=True))


def next_count(images: int, most: int, alone: bool) -> int:
    """Twice as many images, so that few rounds are needed; γ of a source that is alone, whose fit is to be known."""
    return most if alone else min(2 * images, most)
