"""Task T1 of arXiv 2510.24278: accuracy against shots per class. Resynthesis has none: it is the flat line.

Every repeat splits the characters anew. A baseline learns from n training characters, drawn by every source, and is
asked about the test characters; of several forms of one the headline is the best on the validation characters. What a
smaller number of shots learned from is part of what a greater one learns from, and all are asked the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from attribution.errors import ConfigurationError
from attribution.fuse import z_scores
from benchmark.baselines.baseline import Baseline, Images
from benchmark.baselines.cells import Answer, Laboratory
from benchmark.baselines.classifiers import ClipClassifier
from benchmark.baselines.crossing import crossing, next_to_measure
from benchmark.baselines.plugin import plugin
from benchmark.baselines.splits import Split
from benchmark.evaluate import rankings
from benchmark.features import Features
from benchmark.fusion import right
from benchmark.split import SEED, Side, sides

REPEATS = 5
SHOTS = (1, 2, 3, 5, 8, 10, 20, 40, 80)
BEST = "best"
Curve = Mapping[int, Sequence[Answer]]  # by shots; an answer for each repeat


def t1(
    features: Features,
    images: Images,
    baselines: Sequence[Baseline],
    laboratory: Laboratory,
    shots: Sequence[int] = SHOTS,
    repeats: int = REPEATS,
    distance: str = "cosine",
    candidates: int = 1,
) -> dict[str, Any]:
    """The flat line, a curve for each baseline, where it crosses the line, and what fusing the two gains.

    Raises ConfigurationError where there are fewer training characters than shots, or repeats than two.
    """
    shots = sorted(set(shots))
    count = len(features.characters)
    train = len(sides(count)[Side.TRAIN])
    if shots[-1] > train or repeats < 2:
        raise ConfigurationError(f"At most {train} shots are there to learn from, and an interval needs two repeats.")
    splits = [Split.of(count, SEED + repeat) for repeat in range(repeats)]
    found = rankings(features, distance, candidates)
    flat = np.array([found.right[:, split.test].mean() for split in splits])
    curves = _curves(images, baselines, laboratory, splits, shots, float(flat.mean()))
    accuracies = {name: _accuracies(curve, splits) for name, curve in curves.items()}
    headline = _headline({b.name: curves[b.name] for b in baselines if isinstance(b, ClipClassifier)}, splits)
    shown = accuracies | ({BEST: headline} if headline else {})
    return {
        "sources": list(features.sources),
        "chance": 1 / len(features.sources),
        "characters": count,
        "shots": shots,
        "repeats": repeats,
        "distance": distance,
        "candidates": candidates,
        "resynthesis": _summary(flat),
        "curves": {
            name: [_point(n, curve, curves.get(name, {})) if n in curve else None for n in shots]
            for name, curve in shown.items()
        },
        "crosses_at": {name: crossing(_means(curve), float(flat.mean())) for name, curve in shown.items()},
        "settled": {
            name: not next_to_measure(shots, _means(curve), float(flat.mean())) for name, curve in shown.items()
        },
        "baselines": {each.name: _about(each, curves[each.name], len(features.sources)) for each in baselines},
        "plugin": plugin(z_scores(-found.distances), features.characters, splits, curves),
    }


def _curves(
    images: Images,
    baselines: Sequence[Baseline],
    laboratory: Laboratory,
    splits: Sequence[Split],
    shots: Sequence[int],
    flat: float,
) -> dict[str, dict[int, list[Answer]]]:
    """First what the baselines' own grids say, then whatever lies around the crossing of the flat line."""
    curves: dict[str, dict[int, list[Answer]]] = {baseline.name: {} for baseline in baselines}
    asked: set[tuple[str, int]] = set()
    todo = [
        (each, n) for each in baselines for n in sorted(set(shots) & set(each.grid or shots) or {shots[0], shots[-1]})
    ]
    while todo:
        asked |= {(baseline.name, n) for baseline, n in todo}
        cells = [split.cell(baseline, images, n) for baseline, n in todo for split in splits]
        answers = iter(laboratory.answers(f"{len(images.sources)} classes", cells))
        for baseline, n in todo:
            found = [next(answers) for _ in splits]
            known = [answer for answer in found if answer is not None]
            if len(known) == len(found):
                curves[baseline.name][n] = known
        todo = [
            (each, n)
            for each in baselines
            for n in next_to_measure(shots, _means(_accuracies(curves[each.name], splits)), flat)
            if (each.name, n) not in asked
        ]
    return curves


def _means(accuracies: Mapping[int, NDArray[np.float64]]) -> dict[int, float]:
    return {n: float(at.mean()) for n, at in accuracies.items()}


def _accuracies(curve: Curve, splits: Sequence[Split]) -> dict[int, NDArray[np.float64]]:
    """By shots, (repeats,), of the test queries."""
    return {
        n: np.array([_accuracy(answer, split)[1] for answer, split in zip(curve[n], splits, strict=True)])
        for n in sorted(curve)
    }


def _accuracy(answer: Answer, split: Split) -> tuple[float, float]:
    """Of validation and of test queries."""
    found, held = right(answer.scores), len(split.validation)
    return float(found[:, :held].mean()), float(found[:, held:].mean())


def _headline(forms: Mapping[str, Curve], splits: Sequence[Split]) -> dict[int, NDArray[np.float64]]:
    """Of each repeat the form that does best on its validation characters, the first of equal ones."""
    known = [set(curve) for curve in forms.values()]
    best = {}
    for n in sorted(set.intersection(*known)) if known else ():
        pairs = [
            [_accuracy(curve[n][at], split) for curve in forms.values()] for at, split in enumerate(splits)
        ]  # (repeats, forms) of (validation, test)
        best[n] = np.array([max(of, key=lambda pair: pair[0])[1] for of in pairs])
    return best


def _point(n: int, accuracies: Mapping[int, NDArray[np.float64]], curve: Curve) -> dict[str, Any]:
    spent = {"seconds": float(np.mean([answer.seconds for answer in curve[n]]))} if n in curve else {}
    return {"shots": n, **_summary(accuracies[n]), **spent}


def _about(baseline: Baseline, curve: Curve, sources: int) -> dict[str, Any]:
    return {
        "sees": sorted(baseline.sees),
        "comparable": baseline.comparable,
        "setting": dict(baseline.setting),
        "steps": {str(n): baseline.steps(n, sources) for n in sorted(curve)},
        "cells": sum(map(len, curve.values())),
        "seconds": sum(answer.seconds for answers in curve.values() for answer in answers),
    }


def _summary(accuracies: NDArray[np.float64]) -> dict[str, Any]:
    """The mean over repeats with its 95 % interval (Student's t), which may not leave 0…1."""
    mean, count = float(accuracies.mean()), len(accuracies)
    half = float(student.ppf(0.975, count - 1) * accuracies.std(ddof=1)) / count**0.5
    return {"accuracy": mean, "interval_95": [max(0.0, mean - half), min(1.0, mean + half)]}
