"""Past images play the query: what the model answers about images whose source is known by construction.

The job of an image is never part of the model that scores it. For strangers, a group of sources (a source with its
relatives) is left out of the model and of the job, and its images are asked about.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.bank.model import BankModel, Floats, fit
from attribution.bank.past_job import PastJob

_FOLDS = 4
_MOST_STRANGER_GROUPS = 8  # models are fitted for each
_MOST_JOBS = 120  # that play queries; more make a calibration slower, not better


@dataclass(frozen=True, slots=True)
class Simulated:
    """Scores (n, S) of simulated queries, and the place of the source of each, (n,); −1 for a stranger."""

    scores: Floats
    truth: NDArray[np.intp]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the source with the greatest score is the right one."""
        return np.asarray(self.scores.argmax(axis=1) == self.truth)


@dataclass(frozen=True, slots=True)
class Strangers:
    """One group of sources left out: what the model of the rest says about their own images, and about the group's."""

    rest: tuple[str, ...]
    own: Simulated
    strangers: Simulated


def simulate(past: Sequence[PastJob], sources: Sequence[str], siblings: int) -> Simulated:
    """Images of the sources against `siblings` other images of every source in the same job."""
    found = list(_folds(past, sources, sources, siblings))
    return _joined(found, len(sources))


def simulate_strangers(
    past: Sequence[PastJob], sources: Sequence[str], groups: Sequence[Sequence[str]], siblings: int
) -> list[Strangers]:
    """The same with each group left out in turn; groups that leave fewer than two sources are skipped."""
    found = []
    for group in [tuple(each) for each in groups][:_MOST_STRANGER_GROUPS]:
        rest = [source for source in sources if source not in group]
        if len(rest) < 2:
            continue
        own = _joined(list(_folds(past, rest, rest, siblings)), len(rest))
        strangers = _joined(list(_folds(past, rest, group, siblings)), len(rest))
        if len(own.truth) and len(strangers.truth):
            found.append(Strangers(tuple(rest), own, strangers))
    return found


def _folds(past: Sequence[PastJob], sources: Sequence[str], asked: Sequence[str], siblings: int) -> Iterator[Simulated]:
    usable = [job for job in past if len(set(sources) & job.images.keys()) > 1][-_MOST_JOBS:]
    folds = min(_FOLDS, len(usable))
    for fold in range(folds if folds > 1 else 0):
        model = fit([job for at, job in enumerate(usable) if at % folds != fold], sources)
        if model is None:
            continue
        for job in usable[fold::folds]:
            yield from _queries(model, job, sources, asked, siblings)


def _queries(
    model: BankModel, job: PastJob, sources: Sequence[str], asked: Sequence[str], siblings: int
) -> Iterator[Simulated]:
    """Every k-th image of the asked sources against other images of the sources."""
    if any(source not in job.images for source in sources):
        return  # the model's answer about a job with fewer sources is another one
    place = {source: at for at, source in enumerate(sources)}
    reduced: Mapping[str, Floats] = {
        source: job.images[source].astype(np.float64) @ model.directions
        for source in {*sources, *asked} & job.images.keys()
    }
    for k in range(max(len(images) for images in reduced.values())):
        others = {source: _siblings(reduced[source], k, siblings) for source in sources}
        if any(not len(rows) for rows in others.values()):
            return
        means = np.stack([others[source].mean(axis=0) for source in sources])  # (S, r)
        content = means.mean(axis=0)
        wanted = [source for source in asked if source in reduced and k < len(reduced[source])]
        if not wanted:
            continue
        queries = np.stack([reduced[source][k] for source in wanted]) - content
        yield Simulated(
            model.reduced_scores(queries, means - content, min(map(len, others.values()))),
            np.array([place.get(source, -1) for source in wanted]),
        )


def _siblings(images: Floats, k: int, count: int) -> Floats:
    """At most `count` images but the k-th, beginning after it."""
    order = [(k + 1 + step) % len(images) for step in range(len(images) - 1)]
    return images[order[:count]]


def _joined(parts: Sequence[Simulated], count: int) -> Simulated:
    if not parts:
        return Simulated(np.zeros((0, count)), np.zeros(0, np.intp))
    return Simulated(np.concatenate([each.scores for each in parts]), np.concatenate([each.truth for each in parts]))
