"""De-Fake's hybrid attribution (Sha et al., arXiv 2210.06998): a small network on features of image and caption.

Image features are the embedder's, text features a CLIP's of the caption; neither is trained. Two hidden layers.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from evaluation.baselines.baseline import Floats, Images, Sight, versions
from evaluation.baselines.openclip import open_model
from evaluation.captions.quality import TextTower

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
