"""The cosine distance, and finding distances by name."""

import numpy as np
import pytest

from attribution.distance import PAIRWISE, distance_named
from attribution.errors import ConfigurationError
from attribution.ports import DistanceName


def test_known_angles() -> None:
    """Same, orthogonal, opposite, and lengths that do not matter."""
    query = np.array([2, 0], np.float32)
    generated_images = np.array([[3, 0], [0, 5], [-1, 0], [1, 1]], np.float32)
    assert PAIRWISE["cosine"](query, generated_images) == pytest.approx([0, 1, 2, 1 - np.sqrt(0.5)])


def test_a_twin_is_at_zero() -> None:
    """Rounding never makes a distance negative."""
    rows = np.random.default_rng(0).normal(size=(200, 33)).astype(np.float32)
    assert all(PAIRWISE["cosine"](row, row[None])[0] >= 0 for row in rows)


def test_names() -> None:
    """Every distance is found by its own name; any other name lists those there are."""
    assert all(distance_named(name).name is name for name in DistanceName)
    with pytest.raises(ConfigurationError, match="cosine"):
        distance_named("manhatan")
