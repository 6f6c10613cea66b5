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
from benchmark.baselines.classifiers import CLASSIFIERS, Classify
from benchmark.evaluate import rankings
from benchmark.features import Features
from benchmark.split import SEED, Side, sides

REPEATS = 5
SHOTS = (1, 2, 3, 5, 8, 10, 20, 40, 80)


def t1(
    features: Features,
    shots: Sequence[int] = SHOTS,
    repeats: int = REPEATS,
    distance: str = "cosine",
    candidates: int = 1,
    forms: Mapping[str, Classify] = CLASSIFIERS,
) -> dict[str, Any]:
    """The flat line, a curve for each form of the CLIP classifier and for the best one, and where it crosses the line.

    Raises ConfigurationError where there are fewer training characters than shots, or repeats than two.
    """
    count = len(features.characters)
    train = len(sides(count)[Side.TRAIN])
    if max(shots) > train or repeats < 2:
        raise ConfigurationError(f"At most {train} shots are there to learn from, and an interval needs two repeats.")
    right = rankings(features, distance, candidates).right.astype(np.float64)
    tested = [list(sides(count, SEED + repeat)[Side.TEST]) for repeat in range(repeats)]
    flat = np.array([right[:, test].mean() for test in tested])
    runs = [_repeat(features, shots, SEED + repeat, forms) for repeat in range(repeats)]
    curves = {name: np.array([run[name] for run in runs]) for name in (*forms, "best")}  # (repeats, shots)
    return {
        "sources": list(features.sources),
        "chance": 1 / len(features.sources),
        "shots": list(shots),
        "repeats": repeats,
        "distance": distance,
        "candidates": candidates,
        "resynthesis": _summary(flat),
        "curves": {name: [_summary(column) for column in curve.T] for name, curve in curves.items()},
        "crosses_at": {name: _crossing(shots, curve.mean(axis=0), flat.mean()) for name, curve in curves.items()},
    }


def _repeat(
    features: Features, shots: Sequence[int], seed: int, forms: Mapping[str, Classify]
) -> dict[str, list[float]]:
    """Accuracies by form, for each number of shots, on the test side of one split."""
    rows = features.originals.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    side = sides(rows.shape[1], seed)
    order = np.random.default_rng(seed).permutation(side[Side.TRAIN])
    found: dict[str, list[float]] = {name: [] for name in (*forms, "best")}
    for n in shots:
        learned = rows[:, order[:n]]
        validated = {}
        for name, classify in forms.items():
            validated[name] = _accuracy(classify, learned, rows[:, list(side[Side.VALIDATION])])
            found[name].append(_accuracy(classify, learned, rows[:, list(side[Side.TEST])]))
        best = max(validated, key=lambda name: validated[name])  # the first of equal ones
        found["best"].append(found[best][-1])
    return found


def _accuracy(classify: Classify, learned: NDArray[np.float64], asked: NDArray[np.float64]) -> float:
    s, p, d = asked.shape
    named = classify(learned, asked.reshape(s * p, d))
    return float((named == np.repeat(np.arange(s), p)).mean())


def _summary(accuracies: NDArray[np.float64]) -> dict[str, Any]:
    """The mean over repeats with its 95 % interval (Student's t), which may not leave 0…1."""
    mean, count = float(accuracies.mean()), len(accuracies)
    half = float(student.ppf(0.975, count - 1) * accuracies.std(ddof=1)) / count**0.5
    return {"accuracy": mean, "interval_95": [max(0.0, mean - half), min(1.0, mean + half)]}


def _crossing(shots: Sequence[int], curve: NDArray[np.float64], flat: float) -> int | None:
    """The fewest shots from which on the curve stays at or above the line; None where it never does."""
    above = curve >= flat
    if not above[-1]:
        return None
    below = np.flatnonzero(~above)
    return shots[0 if not len(below) else int(below[-1]) + 1]
