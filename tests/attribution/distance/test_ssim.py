"""SSIM on pixels, and the hybrid that ranks by it and by cosine."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy.stats import zscore

from attribution.distance import DISTANCES, PIXELWISE, compare_pixels, distance_named
from attribution.distance.hybrid import mean_z
from attribution.errors import AttributionError, ConfigurationError
from attribution.ports import Embedded, ModelRef

SSIM = PIXELWISE["ssim"]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Shapes with edges and a slope, twice as wide as high."""
    pixels = np.add.outer(np.arange(96), np.arange(192)).astype(np.uint8)
    pixels[20:60, 70:120] = 250
    pixels[50:80, 90:100] = 5
    return Image.fromarray(pixels).convert("RGB")


def test_more_change_is_further_away(picture: Image.Image) -> None:
    """Nothing for itself; a little blur is nearer than much, and that nearer than another image."""
    blurred = [picture.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 3)]
    distances = SSIM(picture, [picture, *blurred, picture.transpose(Image.Transpose.ROTATE_180)])
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert list(distances) == sorted(distances)
    assert distances[-1] > 0.2
    assert (distances.shape, distances.dtype) == ((4,), np.float64)


def test_it_is_wangs_formula(picture: Image.Image) -> None:
    """Written out for flat images, where only the luminance term is left: (2xy + c) / (x² + y² + c), c = 0.01²."""
    x, y = 51 / 255, 204 / 255
    flat = [Image.new("RGB", (40, 30), (gray, gray, gray)) for gray in (51, 204)]
    assert SSIM(flat[0], flat[1:])[0] == pytest.approx(1 - (2 * x * y + 1e-4) / (x * x + y * y + 1e-4), abs=1e-6)


def test_pictures_of_different_sizes_are_brought_together(picture: Image.Image) -> None:
    """Another size is nearly nothing; of a longer side the middle counts, as for the embedder."""
    larger = picture.resize((576, 288), Image.Resampling.BICUBIC)
    middle = picture.crop((48, 0, 144, 96))
    assert SSIM(picture, [larger, middle]) == pytest.approx([0, 0], abs=0.02)
    assert SSIM(larger, [middle])[0] == pytest.approx(0, abs=0.02)


def test_without_the_library_it_says_what_to_install(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at import, which the light half does, but when it is asked for."""
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ConfigurationError, match=r"\[ml\]"):
        SSIM(picture, [picture])


def test_only_what_a_distance_needs_is_compared(picture: Image.Image) -> None:
    """Features suffice for four; a distance whose pixels nobody compared says so instead of guessing."""
    needs = {name for name, distance in DISTANCES.items() if distance.on_pixels}
    assert needs == {"ssim", "hybrid"}
    assert compare_pixels(distance_named("cosine"), picture, {"a": [picture]}) == {}
    found = compare_pixels(distance_named("hybrid"), picture, {"a": [picture], "gone": []})
    assert {name: list(by_source) for name, by_source in found.items()} == {"ssim": ["a"]}
    rows = np.ones((1, 2), np.float32)
    for name in needs:
        with pytest.raises(AttributionError, match="pixels"):
            distance_named(name).among(Embedded(ModelRef("e", "1"), rows[0], {"a": rows}))


def test_a_hybrid_is_the_mean_of_z_scores() -> None:
    """SciPy's, over all generated images of the job; a part that tells nothing apart counts nothing."""
    random = np.random.default_rng(3)
    one, other = random.normal(size=(2, 3, 7))
    assert mean_z([one, 9 * other + 4]) == pytest.approx((zscore(one, axis=1) + zscore(other, axis=1)) / 2)
    assert mean_z([np.ones(3), np.array([1.0, 2.0, 3.0])]) == pytest.approx(zscore([1.0, 2.0, 3.0]) / 2)
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    pixels = {"a": np.array([0.5, 0.1]), "b": np.array([0.2])}
    embedded = Embedded(ModelRef("e", "1"), rows[0], {"a": rows[:2], "b": rows[2:]}, {"ssim": pixels})
    found = distance_named("hybrid").among(embedded)
    expected = (zscore([0, 0.2, 1]) + zscore([0.5, 0.1, 0.2])) / 2
    assert [*found["a"], *found["b"]] == pytest.approx(expected, abs=1e-6)
