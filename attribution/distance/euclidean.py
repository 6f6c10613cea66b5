"""The length of the difference, L2. Between unit vectors it orders as cosine does: it is √(2 · cosine)."""

import numpy as np

from attribution.distance.pairwise import Floats


def euclidean(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """(m, n) distances of (m, n, d) generated images to their (m, d) queries."""
    apart = np.subtract(generated_images, queries[:, None], out=scratch)
    squares: Floats = np.vecdot(apart, apart)
    return np.sqrt(squares, out=squares)
