"""Ranking by residuals: which source's images the query is most like once the content is subtracted.

Without past jobs the order comes from this job alone. With a bank it is the likelihood under what past jobs taught, and
it comes with probabilities, a prediction set and a fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution.bank import Bank, Experience
from attribution.bank.calibration import COVERAGE
from attribution.bank.stack import Floats
from attribution.errors import AttributionError
from attribution.estimate import Estimate
from attribution.ports import Embedded, Method, Ranking
from attribution.residual import Residuals, residuals, scores_without_bank

_COUNTS = (5, 10, 20, 50, 100, 200)
NO_REVISION = "?"  # of a source whose revision is not known: no past job has it


def match(
    ranking: Ranking,
    embedded: Embedded,
    order: Sequence[str],
    revisions: Mapping[str, str],
    families: Mapping[str, str],
    bank: Bank | None = None,
    race: int | None = None,
) -> tuple[Ranking, Experience | None]:
    """The tested sources by residuals, likeliest first, and what the bank knows about them.

    Fewer than two sources have no residuals: then the ranking stays by distance, and its method says so.

    Args:
        ranking: The ranking by distance, whose distances stay in the result.
        embedded: Features, with taps.
        order: Decides ties.
        revisions: Of the tested sources whose images were generated; uploaded references have none.
        families: The family of each source.
        bank: Past jobs in the same feature space.
        race: γ of a job that races, so that its sources may have unequal numbers of images.

    Raises:
        AttributionError: The features have no taps.
    """
    if len(ranking.entries) < 2:
        return ranking, None
    if embedded.taps is None:
        raise AttributionError("There are no taps to compute residuals of: embed the images for this method.")
    tested = [source for source in order if source in embedded.taps.generated_images]
    found = residuals(embedded.taps)
    keyed = [f"{source}@{revisions.get(source, NO_REVISION)}" for source in tested]
    counts = np.array([len(found.generated_images[source]) for source in tested])
    images = int(counts.min())
    known = None
    if bank is not None:
        related = {key: families[source] for key, source in zip(keyed, tested, strict=True)}
        known = bank.experience(keyed, related, race or images, racing=race is not None)
    if bank is None or known is None:
        return _ordered(ranking, tested, scores_without_bank(found, tested)), None
    scores = _scores(found, tested, bank, known, images if race is None else counts)
    calibration = known.calibration
    if calibration is None:
        return _ordered(ranking, tested, scores), known
    probabilities = calibration.probabilities(scores)
    inside = calibration.in_set(probabilities)
    likeliest = np.argsort(-scores, kind="stable")
    estimate = Estimate(
        bank=bank.version,
        jobs={source: at_least(bank.jobs.get(key, 0)) for source, key in zip(tested, keyed, strict=True)},
        prediction_set=tuple(tested[at] for at in likeliest if inside[at]),
        coverage=COVERAGE,
        fit=float((scores.max() - calibration.fit_center) / calibration.fit_spread),
    )
    return replace(_ordered(ranking, tested, scores, probabilities), estimate=estimate), known


def at_least(jobs: int) -> int:
    """The next lower of some round numbers: an exact count would show one tenant that another one asked a source."""
    return max((each for each in _COUNTS if each <= jobs), default=0)


def _scores(
    found: Residuals, tested: Sequence[str], bank: Bank, known: Experience, images: int | NDArray[np.intp]
) -> Floats:
    queries = bank.project(found.query[None].astype(np.float64)) @ known.directions
    means = bank.project(found.means(tested).astype(np.float64)) @ known.directions
    scores: Floats = known.model.scores(queries, means, images)[0]
    return scores


def _ordered(ranking: Ranking, tested: Sequence[str], scores: Floats, probabilities: Floats | None = None) -> Ranking:
    by_source = {entry.source: entry for entry in ranking.entries}
    entries = tuple(
        replace(
            by_source[tested[at]],
            match=float(scores[at]),
            probability=None if probabilities is None else float(probabilities[at]),
        )
        for at in np.argsort(-scores, kind="stable")
    )
    return replace(ranking, entries=entries, method=Method.RESIDUAL, calibrated=probabilities is not None)
