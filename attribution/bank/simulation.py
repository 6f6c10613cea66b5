"""Past images play the query: what the model answers about images whose source is known by construction.

The job of an image is never part of the model that scores it. For strangers, a group of sources (a source with its
relatives) is left out of the model and of the job, and its images are asked about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attribution.bank.model import BankModel, fit
from attribution.bank.stack import Floats, JobStack

_FOLDS = 4
_MOST_STRANGER_GROUPS = 8  # models are fitted for each


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


class Asking(Protocol):
    """How a simulated job generates: the same number of images of each source, or by racing."""

    def usable(self, counts: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(n,) which jobs can be simulated, by their (n, S) numbers of images. Each has all sources."""
        ...

    def ask(self, model: BankModel, jobs: JobStack, foreign: JobStack) -> tuple[Simulated, Simulated]:
        """The jobs' images, and those of strangers in the same jobs, against other images of the jobs."""
        ...


@dataclass(frozen=True, slots=True)
class FixedAsking:
    """Every image against `siblings` others of every source in its job."""

    siblings: int

    def usable(self, counts: NDArray[np.intp]) -> NDArray[np.bool_]:
        """With fewer images the query would be among its own siblings."""
        return np.asarray((counts > self.siblings).all(axis=1))

    def ask(self, model: BankModel, jobs: JobStack, foreign: JobStack) -> tuple[Simulated, Simulated]:
        """See `Asking`."""
        return _ask(model, jobs, foreign, self.siblings)


def simulate(
    stack: JobStack, length: int, asking: Asking, strangers: Sequence[str] = ()
) -> tuple[Simulated, Simulated]:
    """Images of the stack's sources, and of strangers, against other images in the same job.

    Only jobs that have all sources are asked about: with fewer sources the model's answer is another one.

    Args:
        stack: Past jobs, with the strangers as sources besides.
        length: D of the residuals as they were computed.
        asking: How the simulated job generates.
        strangers: The sources that are left out of the model and of the jobs.
    """
    sources = [source for source in stack.sources if source not in strangers]
    part, foreign = stack.of_sources(sources), stack.of_sources(strangers)
    whole = asking.usable(part.counts)
    fold = np.where(whole, np.cumsum(whole) % _FOLDS, -1)  # jobs that are not asked about always teach
    parts: list[tuple[Simulated, Simulated]] = []
    for number in range(_FOLDS):
        asked = fold == number
        model = fit(part.of_jobs(~asked), length)
        if asked.any() and model is not None:
            parts.append(asking.ask(model, part.of_jobs(asked), foreign.of_jobs(asked)))
    return _joined([own for own, _ in parts], len(sources)), _joined([other for _, other in parts], len(sources))


def simulate_strangers(
    stack: JobStack, length: int, groups: Sequence[Sequence[str]], asking: Asking
) -> list[Strangers]:
    """The same with each group left out in turn; groups that leave fewer than two sources are skipped."""
    found = []
    for group in groups[:_MOST_STRANGER_GROUPS]:
        rest = tuple(source for source in stack.sources if source not in group)
        if len(rest) < 2:
            continue
        own, strangers = simulate(stack, length, asking, group)
        if len(own.truth) and len(strangers.truth):
            found.append(Strangers(rest, own, strangers))
    return found


def _ask(model: BankModel, jobs: JobStack, foreign: JobStack, siblings: int) -> tuple[Simulated, Simulated]:
    """Every k-th image against the others of every source."""
    n, s, most, _ = jobs.images.shape
    own_scores, own_truth, foreign_scores = [], [], []
    for k in range(most):
        places = (k + 1 + np.arange(siblings)) % jobs.counts[..., None]  # (n, S, siblings)
        others = np.take_along_axis(jobs.images, places[..., None], axis=2).mean(axis=2)  # (n, S, r)
        content = others.mean(axis=1, keepdims=True)
        scores = model.scores(jobs.images[:, :, k] - content, others - content, siblings)  # (n, S, S)
        there = k < jobs.counts
        own_scores.append(scores[there])
        own_truth.append(np.broadcast_to(np.arange(s), (n, s))[there])
        if k < foreign.images.shape[2] and len(foreign.sources):
            theirs = model.scores(foreign.images[:, :, k] - content, others - content, siblings)
            foreign_scores.append(theirs[k < foreign.counts])
    other = np.concatenate(foreign_scores) if foreign_scores else np.zeros((0, s))
    return (
        Simulated(np.concatenate(own_scores), np.concatenate(own_truth)),
        Simulated(other, np.full(len(other), -1)),
    )


def _joined(parts: Sequence[Simulated], count: int) -> Simulated:
    if not parts:
        return Simulated(np.zeros((0, count)), np.zeros(0, np.intp))
    return Simulated(np.concatenate([each.scores for each in parts]), np.concatenate([each.truth for each in parts]))
