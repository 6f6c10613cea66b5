"""Distances between features, compared with the slow reference and with SciPy, whose definitions they follow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial import distance as scipy_distance

from attribution.distance import PAIRWISE, distance_named
from attribution.distance.reference import BY_OPERATOR
from attribution.errors import ConfigurationError
from attribution.ports import DistanceName

SCIPY = {
    "cosine": scipy_distance.cosine,
    "euclidean": scipy_distance.euclidean,
    "manhattan": scipy_distance.cityblock,
    "correlation": scipy_distance.correlation,
}
NAMES = pytest.mark.parametrize("name", sorted(PAIRWISE))


@st.composite
def _features(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(s, p, d) queries and (s, p, s, d) generated images; neither constant nor tiny, so that each has a direction."""
    s, p, d = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(2, 9))
    values = st.floats(-4, 4).filter(lambda x: abs(x) > 1e-3)
    slope = np.linspace(1, 2, d) * np.where(np.arange(d) % 2, 7.0, -7.0)  # no vector is its own mean
    queries = draw(arrays(np.float64, (s, p, d), elements=values)) + slope
    generated_images = draw(arrays(np.float64, (s, p, s, d), elements=values)) + slope
    return queries, generated_images


@NAMES
@given(_features())
def test_fast_path_agrees_with_reference(name: str, case: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """Every pair of a whole array agrees to 1e-9 in float64, and a single query gives the same distances."""
    queries, generated_images = case
    fast = PAIRWISE[name].between(queries, generated_images)
    assert fast.shape == generated_images.shape[:-1]
    for i, p, j in np.ndindex(*fast.shape):
        assert fast[i, p, j] == pytest.approx(
            BY_OPERATOR[name](queries[i, p].tolist(), generated_images[i, p, j].tolist()), abs=1e-9
        )
    assert PAIRWISE[name](queries[0, 0], generated_images[0, 0]) == pytest.approx(fast[0, 0], abs=1e-12)


@pytest.fixture(scope="module")
def unit() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Queries and generated images of twelve sources and thirty characters, large enough for blocks and threads."""
    random = np.random.default_rng(4)
    queries, generated_images = random.normal(size=(12, 30, 512)), random.normal(size=(12, 30, 12, 512))
    generated_images += queries[:, :, None] / 2
    return tuple(rows / np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (queries, generated_images))


def _by_scipy(name: str, queries: NDArray[np.floating], generated_images: NDArray[np.floating]) -> NDArray[np.float64]:
    distances = np.zeros(generated_images.shape[:-1])
    for i, p, j in np.ndindex(*distances.shape):
        distances[i, p, j] = SCIPY[name](generated_images[i, p, j], queries[i, p])
    return distances


@NAMES
def test_definitions_are_those_of_scipy(name: str, unit: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """Distances agree with SciPy to 1e-9 in float64, with one thread and with three."""
    expected = _by_scipy(name, *unit)
    for threads in (1, 3):
        assert np.abs(PAIRWISE[name].between(*unit, threads=threads) - expected).max() < 1e-9


@NAMES
def test_float32_predicts_the_same(name: str, unit: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """In float32, the precision of feature files, the nearest source is the same and nothing becomes float64."""
    single = unit[0].astype(np.float32), unit[1].astype(np.float32)
    fast = PAIRWISE[name].between(*single)
    assert fast.dtype == np.float32
    assert (fast.argmin(axis=2) == _by_scipy(name, *single).argmin(axis=2)).all()


@NAMES
def test_equal_images_tie(name: str) -> None:
    """Equal generated images have equal distances at every position, so that the first of them wins."""
    random = np.random.default_rng(8)
    for kind in (np.float32, np.float64):
        generated_images = np.repeat(random.normal(size=(40, 1, 771)).astype(kind), 13, axis=1)
        distances = PAIRWISE[name].between(random.normal(size=(40, 771)).astype(kind), generated_images)
        assert (distances == distances[:, :1]).all()


@NAMES
def test_distance_to_itself_is_zero(name: str) -> None:
    """The distance of a vector to itself is zero up to float32 rounding, and never negative."""
    rows = np.random.default_rng(0).normal(size=(200, 1, 33)).astype(np.float32)
    distances = PAIRWISE[name].between(rows[:, 0], rows)
    assert (distances >= 0).all()
    assert distances.max() < 1e-6


def test_cosine_of_known_angles() -> None:
    """Equal, orthogonal, opposite and 45 degrees; the lengths do not matter."""
    query = np.array([2, 0], np.float32)
    generated_images = np.array([[3, 0], [0, 5], [-1, 0], [1, 1]], np.float32)
    assert PAIRWISE["cosine"](query, generated_images) == pytest.approx([0, 1, 2, 1 - np.sqrt(0.5)])


def test_equal_vectors_have_distance_zero() -> None:
    """Rounding never makes a distance negative."""
    rows = np.random.default_rng(0).normal(size=(200, 33)).astype(np.float32)
    assert all(PAIRWISE["cosine"](row, row[None])[0] >= 0 for row in rows)


def test_distances_are_found_by_name() -> None:
    """Every distance is found by its name; an unknown name is an error that lists them."""
    assert all(distance_named(name).name is name for name in DistanceName)
    with pytest.raises(ConfigurationError, match="cosine"):
        distance_named("manhatan")
