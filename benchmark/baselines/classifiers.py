"""The CLIP classifier: four usual ones on frozen image features, all of scikit-learn."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import SVC

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.intp]
# (S, n, d) shots and (Q, d) queries, rows of unit length, to the (Q,) sources that are named.
Classify: TypeAlias = Callable[[Floats, Floats], Labels]

_NEIGHBOURS = 5


def _with(make: Callable[[int], ClassifierMixin]) -> Classify:
    """Classifies by a model that is made for a number of shots."""

    def classify(shots: Floats, queries: Floats) -> Labels:
        s, n, d = shots.shape
        model = make(n)
        model.fit(shots.reshape(s * n, d), np.repeat(np.arange(s), n))
        return np.asarray(model.predict(queries), np.intp)

    return classify


CLASSIFIERS: Mapping[str, Classify] = {
    "linear": _with(lambda _: LogisticRegression(C=10.0, max_iter=1_000)),
    "k-NN": _with(lambda n: KNeighborsClassifier(min(n, _NEIGHBOURS))),
    # The mean of one is that one; NearestCentroid divides by nothing then.
    "nearest mean": _with(lambda n: NearestCentroid() if n > 1 else KNeighborsClassifier(1)),
    "SVM": _with(lambda _: SVC(C=10.0, gamma="scale")),
}
