"""Two simple methods that are trained: on features of n images of each source, its shots. They stand for another
method whose scores are fused with ours.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Floats: TypeAlias = NDArray[np.float64]
# (S, n, d) shots and (Q, d) queries to (Q, S) scores, greater for what is likelier.
Method: TypeAlias = Callable[[Floats, Floats], Floats]


def nearest_mean(shots: Floats, queries: Floats) -> Floats:
    """Cosine similarity to the mean of a source's shots."""
    means = shots.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    scores: Floats = queries @ means.T
    return scores


def logistic(shots: Floats, queries: Floats) -> Floats:
    """Logarithms of a logistic regression's probabilities, of features that have unit length."""
    s, n, d = shots.shape
    model = LogisticRegression(C=10.0, max_iter=1_000)
    model.fit(shots.reshape(s * n, d), np.repeat(np.arange(s), n))
    scores: Floats = model.predict_log_proba(queries)
    return scores


METHODS: Mapping[str, Method] = {"nearest mean": nearest_mean, "logistic regression": logistic}
