"""The CLIP classifier: four standard ones on frozen image features, three of them scikit-learn's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from evaluation.baselines.baseline import Floats, Images, Sight, versions

# (S, n, d) shots and (Q, d) queries, rows of unit length, to (Q, S) scores, greater for what is likelier.
Method = Callable[[Floats, Floats], Floats]

_C = 10.0
_NEIGHBORS = 5


def linear(shots: Floats, queries: Floats) -> Floats:
    """Logarithms of a logistic regression's probabilities."""
    scores: Floats = LogisticRegression(C=_C, max_iter=1_000).fit(*_labeled(shots)).predict_log_proba(queries)
    return scores


def neighbors(shots: Floats, queries: Floats) -> Floats:
    """The share of the nearest shots that are a source's."""
    model = KNeighborsClassifier(min(shots.shape[1], _NEIGHBORS)).fit(*_labeled(shots))
    scores: Floats = model.predict_proba(queries)
    return scores


def nearest_mean(shots: Floats, queries: Floats) -> Floats:
    """Cosine similarity to the mean of a source's shots."""
    means = shots.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    scores: Floats = queries @ means.T
    return scores


def support_vectors(shots: Floats, queries: Floats) -> Floats:
    """Decision values of an SVM with a radial kernel, one source against the rest."""
    found = SVC(C=_C, gamma="scale").fit(*_labeled(shots)).decision_function(queries)
    scores: Floats = found if found.ndim == 2 else np.stack([-found, found], axis=1)  # of two sources it gives one
    return scores


def _labeled(shots: Floats) -> tuple[Floats, Any]:
    s, n, d = shots.shape
    return shots.reshape(s * n, d), np.repeat(np.arange(s), n)


METHODS: Mapping[str, Method] = {
    "linear": linear,
    "k-NN": neighbors,
    "nearest mean": nearest_mean,
    "SVM": support_vectors,
}


@dataclass(frozen=True)
class ClipClassifier:
    """One of the four as a baseline."""

    name: str
    sees = frozenset({Sight.FEATURES})
    grid = None
    comparable = True

    @property
    def setting(self) -> Mapping[str, Any]:
        """The same for any number of shots."""
        return {"C": _C, "neighbors": _NEIGHBORS, "libraries": versions("scikit-learn")}

    def steps(self, shots: int, sources: int) -> int | None:
        """A solver's."""
        return None

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """Nothing in it is chosen at random."""
        return METHODS[self.name](shots.features, queries.flat)


CLASSIFIERS = tuple(ClipClassifier(name) for name in METHODS)
