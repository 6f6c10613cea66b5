"""1 − cos: the distance both papers rank by (arXiv 2510.24278; CosCLIP in arXiv 2403.01489)."""

import numpy as np

from attribution.ports import Distances, Vectors


class Cosine:
    """From 0, same direction, to 2, opposite."""

    @property
    def name(self) -> str:
        """How results name it."""
        return "cosine"

    def __call__(self, query: Vectors, drawings: Vectors) -> Distances:
        """(γ,) distances of (γ, d) drawings to the (d,) query.

        In float64: two near-equal float32 features would otherwise differ by less than the rounding of 1 − x.
        """
        q = query.astype(np.float64)
        rows = drawings.astype(np.float64)
        with np.errstate(invalid="ignore"):  # a zero vector becomes NaN, which the ranking reports by its source
            cosines = (rows @ q) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(q))
        distances: Distances = np.maximum(0.0, 1.0 - cosines)  # rounding can put a twin at −1e-16
        return distances
