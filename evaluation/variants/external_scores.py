"""The plug-in: a trained method alone, and fused with resynthesis by a weight that is chosen on other queries.

Shots, the queries that choose the weight, and those that are counted never share a character or a prompt. Of a whole
dataset these are its three sides. Of one side alone, or of real images, each group is left out once, and the weight is
chosen on each of the others, left out in turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.errors import ConfigurationError
from attribution.fuse import fused_scores, z_scores
from attribution.ports import Aggregate
from evaluation.baselines.classifiers import Method, linear, nearest_mean
from evaluation.characters import Side
from evaluation.metrics import WEIGHTS, Indices, by_weight, gains, right
from evaluation.variants.subject import Subject

METHODS: Mapping[str, Method] = {"nearest mean": nearest_mean, "logistic regression": linear}


@dataclass(frozen=True)
class Fold:
    """Columns: (shots, queries) pairs that choose the weight, and the pair that is counted."""

    choosing: Sequence[tuple[Indices, Indices]]
    counted: tuple[Indices, Indices]


def external_scores(
    subject: Subject, shots: Sequence[int], distance: str, images_per_source: int, shot_choices: int, seed: int = 0
) -> list[dict[str, Any]]:
    """A row for each method and number of shots, averaged over `shot_choices` choices of the shots."""
    own = z_scores(-subject.rankings(distance, images_per_source, Aggregate.MEAN).distances)  # (S, P, S)
    folds = list(_folds(subject))
    most = min(len(pool) for fold in folds for pool, _ in (*fold.choosing, fold.counted))
    if max(shots) > most:
        raise ConfigurationError(f"{subject.name} has {most} images of each source to train on, not {max(shots)}.")
    return [
        {"method": name, "shots": count}
        | _row(subject, _Trained(subject, method, count, shot_choices, seed), own, folds)
        for name, method in METHODS.items()
        for count in shots
    ]


def _folds(subject: Subject) -> Iterator[Fold]:
    train, held, test = map(subject.columns, (Side.TRAIN, Side.VALIDATION, Side.TEST))
    if train.size and held.size and test.size:
        yield Fold([(train, held)], (train, test))
        return
    names = np.unique(subject.groups)
    for out in names:
        rest = np.flatnonzero(subject.groups != out)
        others = [
            (rest[subject.groups[rest] != other], np.flatnonzero(subject.groups == other))
            for other in names[names != out]
        ]
        yield Fold(others, (rest, np.flatnonzero(subject.groups == out)))


@dataclass(frozen=True)
class _Trained:
    subject: Subject
    method: Method
    count: int
    shot_choices: int
    seed: int

    def scores(self, pool: Indices, columns: Indices) -> NDArray[np.float64]:
        """(shot_choices, S, columns, S) z-scores of queries, each choice trained on other shots of the pool."""
        rows = self.subject.features.originals.astype(np.float64)
        s, _, d = rows.shape
        random = np.random.default_rng([self.seed, self.count])
        queries = rows[:, columns].reshape(-1, d)
        found = [
            self.method(rows[:, random.choice(pool, self.count, replace=False)], queries)
            for _ in range(self.shot_choices)
        ]
        return z_scores(np.stack(found)).reshape(self.shot_choices, s, len(columns), s)


def _row(subject: Subject, trained: _Trained, own: NDArray[np.float64], folds: Sequence[Fold]) -> dict[str, Any]:
    shape = own.shape[:2]
    alone, fused, ours = (np.full(shape, np.nan) for _ in range(3))
    chosen = []
    for fold in folds:
        curves = [by_weight(own[:, columns], trained.scores(pool, columns)) for pool, columns in fold.choosing]
        weight = float(WEIGHTS[np.mean(curves, axis=0).argmax()])
        chosen.append(weight)
        pool, columns = fold.counted
        theirs = trained.scores(pool, columns)
        alone[:, columns] = right(theirs).mean(axis=0)
        ours[:, columns] = right(own[:, columns])
        fused[:, columns] = right(fused_scores(own[:, columns], theirs, weight)).mean(axis=0)
    counted = np.isfinite(fused).all(axis=0)
    return gains(alone[:, counted], ours[:, counted], fused[:, counted], subject.groups[counted], chosen)
