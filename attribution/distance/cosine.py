"""1 − cos: the distance both papers rank by (arXiv 2510.24278; CosCLIP in arXiv 2403.01489). From 0 to 2."""

import numpy as np

from attribution.distance.pairwise import Floats


def cosine(queries: Floats, generated_images: Floats, scratch: Floats) -> Floats:
    """(m, n) distances of (m, n, d) generated images to their (m, d) queries."""
    return one_minus_cosine(queries, generated_images)


def one_minus_cosine(queries: Floats, generated_images: Floats) -> Floats:
    """The same, for whoever has centered both before."""
    lengths = np.vecdot(generated_images, generated_images)
    lengths *= np.vecdot(queries, queries)[:, None]
    distances: Floats = np.vecdot(generated_images, queries[:, None])
    distances /= np.sqrt(lengths, out=lengths)  # a zero vector becomes NaN, which the ranking reports by its source
    np.subtract(1, distances, out=distances)
    return np.clip(distances, 0, 2, out=distances)  # rounding can put a twin at −1e-16
