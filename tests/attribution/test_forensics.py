"""Forensic features: as their definitions say, of every image in canonical form, and the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.feature import local_binary_pattern

from attribution.forensics import FORENSIC_TAPS, forensic_features

PATTERNS = FORENSIC_TAPS["lbp"] // 3


def image(seed: int, side: int = 64, gray: bool = False) -> Image.Image:
    """Random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 1 if gray else 3), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (side, side, 3)).copy())


def statistics(pixels: Image.Image) -> list[float]:
    """The features behind the patterns."""
    return [float(each) for each in forensic_features(pixels)[FORENSIC_TAPS["lbp"] :]]


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), side=st.sampled_from([32, 65, 256]))
def test_they_are_finite_and_repeatable(seed: int, side: int) -> None:
    """63 finite numbers, the same each time; the squared shares of the patterns of each radius sum to one."""
    features = forensic_features(image(seed, side))
    assert features.shape == (sum(FORENSIC_TAPS.values()),) == (63,)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.array_equal(features, forensic_features(image(seed, side)))
    assert np.allclose((features[: FORENSIC_TAPS["lbp"]].reshape(3, PATTERNS) ** 2).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_patterns_are_those_of_scikit_image(radius: int) -> None:
    """The uniform local binary patterns of the same pixels, counted by another implementation."""
    pixels = image(3, gray=True)
    codes = local_binary_pattern(np.asarray(pixels)[..., 0], 8, radius, "uniform").astype(int)
    inner = codes[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    shares = np.bincount(inner.ravel(), minlength=PATTERNS) / inner.size
    mine = forensic_features(pixels)[(radius - 1) * PATTERNS : radius * PATTERNS]
    assert np.allclose(mine**2, shares, atol=1e-3)
    assert (shares > 0).all()


def test_a_flat_image_by_hand() -> None:
    """Every neighbor is as bright as its center, nothing is clipped, and the luminance is that of the color."""
    features = forensic_features(Image.new("RGB", (64, 64), (100, 50, 200)))
    for start in range(0, FORENSIC_TAPS["lbp"], PATTERNS):
        assert np.allclose(features[start : start + PATTERNS], [0] * 8 + [1, 0], atol=1e-6)
    luminance = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    found = statistics(Image.new("RGB", (64, 64), (100, 50, 200)))
    assert found[0] == pytest.approx(luminance / 64, rel=1e-5)
    assert found[3] == pytest.approx((200 - luminance) * 0.564 / 64, rel=1e-5)
    saturation = found[9:17]  # 200 − 50 = 150 of 256: the fifth of eight bins
    assert saturation == [0, 0, 0, 0, 1, 0, 0, 0]
    assert found[17:22] == pytest.approx([np.log(0.5)] * 5, abs=1e-4)
    assert found[28:30] == [0, 0]


def test_clipping_is_counted() -> None:
    """An image of which a quarter is white and half is black."""
    pixels = np.full((64, 64, 3), 128, np.uint8)
    pixels[:16], pixels[32:] = 255, 0
    assert statistics(Image.fromarray(pixels))[28:30] == pytest.approx([0.5, np.sqrt(0.5)])


def test_the_high_pass_residual_is_that_of_a_gaussian() -> None:
    """What SciPy's filter of one pixel leaves of the luminance."""
    pixels = image(5, gray=True)
    plane = np.asarray(pixels)[..., 0].astype(float)
    left = np.abs(plane - gaussian_filter(plane, 1, mode="reflect")).mean()
    assert statistics(pixels)[30] == pytest.approx(np.log(left + 0.1), rel=1e-4)
