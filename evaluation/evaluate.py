"""Accuracy, confusion and significance of attribution on a dataset.

Queries that share a character share its difficulty. So intervals come from resampling characters (bootstrap), and the
p-value from permuting, within each character, the sources of the originals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.distance import PAIRWISE
from attribution.errors import ConfigurationError
from attribution.ports import Aggregate
from attribution.rank import over_generated_images
from evaluation.characters import SEED, Side, sides
from evaluation.features import Features
from evaluation.metrics import Indices, confusion, interval, macro_auroc, nearest, softmax, top

SHUFFLES = 9_999


@dataclass(frozen=True)
class Rankings:
    """(S, P, S) distances: source of the original, character, source of the resynthesis."""

    sources: tuple[str, ...]
    distances: NDArray[np.float64]

    @property
    def flat(self) -> NDArray[np.float64]:
        """(S · P, S), as the papers list their queries."""
        return self.distances.reshape(-1, len(self.sources))

    @property
    def truth(self) -> Indices:
        """(S · P,) the source of each query."""
        return np.repeat(np.arange(len(self.sources)), self.distances.shape[1])

    @property
    def right(self) -> NDArray[np.bool_]:
        """(S, P) whether the nearest source is the right one."""
        return top(nearest(self.flat), self.truth, 1).reshape(self.distances.shape[:2])


def rankings(
    features: Features, distance: str, images_per_source: int, aggregate: Aggregate = Aggregate.MEAN
) -> Rankings:
    """Distances over the first `images_per_source` generated images; in float64, as the service computes them."""
    return Rankings(features.sources, over_generated_images(apart(features, distance, images_per_source), aggregate))


def apart(features: Features, distance: str, images_per_source: int) -> NDArray[np.float64]:
    """(S, P, S, γ) distances between features. Raises ConfigurationError for a distance that needs more than those."""
    if distance not in PAIRWISE:
        raise ConfigurationError(
            f"Features are compared by {', '.join(PAIRWISE)}; for {distance!r} use `variants distances`."
        )
    originals, generated = features.originals, features.resyntheses[:, :, :, :images_per_source]
    s, p, _, k, d = generated.shape
    distances = PAIRWISE[distance].between(
        originals.astype(np.float64), generated.reshape(s, p, s * k, d).astype(np.float64)
    )
    return distances.reshape(s, p, s, k).astype(np.float64, copy=False)


def evaluate(found: Rankings, repeats: int = 20) -> dict[str, Any]:
    """Accuracy with its interval and p-value, over splits; top-3, ROC-AUC, confusion matrix, closest confusions."""
    s, p, _ = found.distances.shape
    order = nearest(found.flat)
    right = found.right
    table = confusion(order[:, 0], found.truth, s)
    tests = [list(sides(p, SEED + repeat)[Side.TEST]) for repeat in range(repeats)]
    over_splits = [float(right[:, test].mean()) for test in tests if test]
    return {
        "sources": list(found.sources),
        "characters": p,
        "queries": s * p,
        "chance": 1 / s,
        "accuracy": float(right.mean()),
        "accuracy_interval_95": interval(right),
        "p_value": p_value(order[:, 0].reshape(s, p)),
        "accuracy_over_splits": _spread(over_splits),
        "top3": float(top(order, found.truth, 3).mean()),
        "roc_auc": macro_auroc(softmax(found.flat), found.truth),
        "recall": {name: float(right[i].mean()) for i, name in enumerate(found.sources)},
        "recall_interval_95": {name: interval(right[i]) for i, name in enumerate(found.sources)},
        "confusion": table.tolist(),
        "most_confused": _most_confused(found.sources, table),
    }


def p_value(predicted: Indices, seed: int = 0) -> float:
    """How often permuted truths do as well as the real one; (S, P) predictions, one-sided, never below 1 / 10,000."""
    s, p = predicted.shape
    real = (predicted == np.arange(s)[:, None]).sum()
    random = np.random.default_rng(seed)
    as_good, left = 0, SHUFFLES
    while left:
        count = min(left, 500)
        truths = random.permuted(np.broadcast_to(np.arange(s), (count, p, s)), axis=2)  # a shuffle for each character
        as_good += int(((truths == predicted.T).sum(axis=(1, 2)) >= real).sum())
        left -= count
    return (1 + as_good) / (1 + SHUFFLES)


def _spread(values: Sequence[float]) -> Mapping[str, float] | None:
    """None where there are too few characters for a test side."""
    if not values:
        return None
    return {
        "splits": len(values),
        "mean": float(np.mean(values)),
        "sd": float(np.std(values)),
        "min": min(values),
        "max": max(values),
    }


def _most_confused(sources: Sequence[str], table: Indices) -> list[dict[str, Any]]:
    """The five pairs that are most often taken for each other, either way."""
    pairs = [
        {"pair": [sources[i], sources[j]], "times": int(table[i, j] + table[j, i])}
        for i in range(len(sources))
        for j in range(i)
    ]
    return sorted(pairs, key=lambda pair: -int(str(pair["times"])))[:5]
