"""Rows of unit length: the last step of every embedder."""

import numpy as np
from numpy.typing import NDArray

from attribution.errors import AttributionError
from attribution.ports import Vectors


def unit_rows(features: NDArray[np.floating], name: str) -> Vectors:
    """(n, d) of unit norm. Normalized in float64, so that a row's norm is 1 to float32's last digit.

    Raises AttributionError that names the embedder if a row has no direction.
    """
    rows = features.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise AttributionError(f"The embedder {name} returned features without a direction.")
    unit: Vectors = (rows / norms).astype(np.float32)
    return unit
