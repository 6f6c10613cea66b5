"""Residuals: what all sources share is subtracted, and every tap counts alike."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution.ports import Taps
from attribution.residual import residuals, scores_without_bank

LAYOUT = {"block1": 6, "block2": 4, "lbp": 3}
LENGTH = sum(LAYOUT.values())


def taps(seed: int, counts: Mapping[str, int], layout: Mapping[str, int] = LAYOUT) -> Taps:
    """Random features of a query and of so many images of each source, around a common content."""
    random = np.random.default_rng(seed)
    content = 5 * random.normal(size=sum(layout.values()))
    rows = {source: content + random.normal(size=(count, len(content))) for source, count in counts.items()}
    images = {source: each.astype(np.float32) for source, each in rows.items()}
    return Taps(layout, (content + random.normal(size=len(content))).astype(np.float32), images)


COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 4), min_size=2)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), counts=COUNTS)
def test_they_sum_to_zero_and_taps_count_alike(seed: int, counts: dict[str, int]) -> None:
    """Mean residuals sum to 0 over the sources, and the mean squared length of images is 1 per tap."""
    found = residuals(taps(seed, counts))
    assert np.allclose(found.means(list(counts)).sum(axis=0), 0, atol=1e-4)
    rows = np.concatenate(list(found.generated_images.values()))
    start = 0
    for length in LAYOUT.values():
        assert (rows[:, start : start + length] ** 2).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)
        start += length


@settings(max_examples=25)
@given(seed=st.integers(0, 99), shift=st.floats(-9, 9), factor=st.sampled_from([0.01, 0.5, 30.0]))
def test_neither_content_nor_scale_matters(seed: int, shift: float, factor: float) -> None:
    """All images moved alike, and one tap in other units: the same residuals."""
    plain = taps(seed, {"a": 3, "b": 2, "c": 1})
    scale = np.ones(LENGTH)
    scale[: LAYOUT["block1"]] = factor

    def changed(rows: np.ndarray) -> np.ndarray:
        return ((rows + shift) * scale).astype(np.float32)

    other = Taps(LAYOUT, changed(plain.query), {s: changed(rows) for s, rows in plain.generated_images.items()})
    mine, theirs = residuals(plain), residuals(other)
    assert np.allclose(mine.query, theirs.query, atol=1e-3)
    assert np.allclose(mine.means("abc"), theirs.means("abc"), atol=1e-3)


def test_a_tap_that_is_constant_is_0() -> None:
    """Where no image differs there is no scale: the tap counts nothing, also for a query that differs there."""
    constant = taps(1, {"a": 2, "b": 2})
    for rows in constant.generated_images.values():
        rows[:, :6] = 3.0
    constant.query[:6] = 4.0
    found = residuals(constant)
    assert not found.query[:6].any()
    assert not found.means("ab")[:, :6].any()
    assert np.isfinite(found.query).all()
    assert found.query[6:].any()


def test_by_hand() -> None:
    """Two sources with one image each, in one tap of two numbers."""
    images = {"a": np.array([[1, 0]], np.float32), "b": np.array([[3, 4]], np.float32)}
    found = residuals(Taps({"t": 2}, np.array([2, 0], np.float32), images))
    # The content is (2, 2) and the images are ∓(1, 2) from it: the mean square is 5/2, the factor 1/√5.
    assert np.allclose(found.query, np.array([0, -2]) / np.sqrt(5))
    assert np.allclose(found.means(["a", "b"]), np.array([[-1, -2], [1, 2]]) / np.sqrt(5))
    # With one image of each: a: (0.7, −0.6)² = 0.85; b: (−0.7, −3.4)² = 12.05; over 5.
    assert np.allclose(scores_without_bank(found, ["a", "b"]), [-0.17, -2.41])


@pytest.mark.parametrize("images", [1, 4])
def test_the_source_whose_residual_the_query_has_is_likeliest(images: int) -> None:
    """Without a bank, a query near one source's images is that source's, with one image of each or several."""
    some = taps(4, dict.fromkeys("abc", images))
    near = Taps(LAYOUT, some.generated_images["b"].mean(axis=0), some.generated_images)
    assert scores_without_bank(residuals(near), list("abc")).argmax() == 1


def test_with_one_image_of_each_source_forensic_features_do_not_count() -> None:
    """How much they vary within a source is unknown then."""
    some = taps(4, dict.fromkeys("abc", 1))
    changed = Taps(LAYOUT, some.query.copy(), some.generated_images)
    changed.query[-LAYOUT["lbp"] :] += 50
    plain, other = (scores_without_bank(residuals(each), list("abc")) for each in (some, changed))
    assert np.allclose(plain, other)


def test_numbers_that_vary_within_sources_count_less() -> None:
    """The scores, computed again number by number."""
    found = residuals(taps(5, {"a": 3, "b": 2, "c": 4}))
    apart = [
        [float(row[at]) - float(rows[:, at].mean()) for rows in found.generated_images.values() for row in rows]
        for at in range(len(found.query))
    ]
    powers = [sum(each * each for each in of_number) for of_number in apart]
    mean = sum(powers) / len(powers) / (9 - 3)
    variances = [(power + 8 * mean) / (9 - 3 + 8) for power in powers]
    for score, rows in zip(scores_without_bank(found, list("abc")), found.generated_images.values(), strict=True):
        terms = [
            (float(found.query[at]) - 0.7 * float(rows[:, at].mean())) ** 2 / variances[at]
            for at in range(len(found.query))
        ]
        assert score == pytest.approx(-sum(terms), rel=1e-4)
