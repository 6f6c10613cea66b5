"""The CLIP classifier: four standard ones on frozen image features, three of them scikit-learn's; and De-Fake's."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from evaluation.baselines.baseline import Floats, Images, Sight, versions
from evaluation.baselines.openclip import open_model
from evaluation.captions.quality import TextTower

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


_LAYERS = (512, 256)
_BATCH = 200
_EPOCHS = 200
_LEAST = 1e-12  # of a probability: its logarithm is the score


@dataclass(frozen=True)
class DeFake:
    """Texts are read by the CLIP of an open_clip name."""

    clip: str
    most: int = 1_200
    name = "De-Fake"
    sees = frozenset({Sight.FEATURES, Sight.CAPTIONS})
    grid = (1, 3, 5, 10, 20, 80)
    comparable = True

    @property
    def setting(self) -> Mapping[str, Any]:
        """The same for any number of shots."""
        return {
            "text_weights": open_model(self.clip).revision,
            "hidden_layers": list(_LAYERS),
            "optimizer": "Adam",
            "rate": 0.001,
            "batch": _BATCH,
            "epochs_at_most": _EPOCHS,
            "steps_at_most": self.most,
            "libraries": versions("scikit-learn"),
        }

    def steps(self, shots: int, sources: int) -> int | None:
        """A number of passes over all shots, each of as many steps as they have batches."""
        batches = -(-shots * sources // _BATCH)
        return batches * self._epochs(batches)

    def _epochs(self, batches: int) -> int:
        return max(1, min(_EPOCHS, self.most // batches))

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """Logarithms of probabilities."""
        count = len(shots.flat)
        epochs = self._epochs(-(-count // _BATCH))
        network = MLPClassifier(_LAYERS, batch_size=min(_BATCH, count), max_iter=epochs, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the cap on steps is ours
            network.fit(self._hybrid(shots), shots.truth)
        scores: Floats = np.log(np.maximum(network.predict_proba(self._hybrid(queries)), _LEAST))
        return scores

    def _hybrid(self, images: Images) -> Floats:
        """(S · P, the dimensions of both)."""
        texts = _tower(self.clip).features([caption for row in images.captions for caption in row])
        return np.concatenate([images.flat, texts], axis=1)


@lru_cache(maxsize=1)
def _tower(name: str) -> TextTower:
    return TextTower(name)
