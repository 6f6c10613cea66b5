"""The length of the difference, L2. Between unit vectors it orders as cosine does: it is √(2 · cosine)."""

import numpy as np

from attribution.distance.pairwise import Floats


def euclidean(queries: Floats, drawings: Floats, scratch: Floats) -> Floats:
    """(m, n) distances of (m, n, d) drawings to their (m, d) queries."""
    apart = np.subtract(drawings, queries[:, None], out=scratch)
    squares: Floats = np.vecdot(apart, apart)
    return np.sqrt(squares, out=squares)
