"""SSIM on pixels, and the hybrid of SSIM and cosine."""

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
def photo() -> Image.Image:
    """Shapes with edges and a slope, twice as wide as high."""
    pixels = np.add.outer(np.arange(96), np.arange(192)).astype(np.uint8)
    pixels[20:60, 70:120] = 250
    pixels[50:80, 90:100] = 5
    return Image.fromarray(pixels).convert("RGB")


def test_distance_grows_with_change(photo: Image.Image) -> None:
    """An image has distance zero to itself; slight blur is nearer than strong blur, and this than another image."""
    blurred = [photo.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 3)]
    distances = SSIM(photo, [photo, *blurred, photo.transpose(Image.Transpose.ROTATE_180)])
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert list(distances) == sorted(distances)
    assert distances[-1] > 0.2
    assert (distances.shape, distances.dtype) == ((4,), np.float64)


def test_formula_is_wangs(photo: Image.Image) -> None:
    """For flat images only the luminance term is left: (2xy + c) / (x² + y² + c), c = 0.01²."""
    x, y = 51 / 255, 204 / 255
    flat = [Image.new("RGB", (40, 30), (gray, gray, gray)) for gray in (51, 204)]
    assert SSIM(flat[0], flat[1:])[0] == pytest.approx(1 - (2 * x * y + 1e-4) / (x * x + y * y + 1e-4), abs=1e-6)


def test_sizes_are_fitted(photo: Image.Image) -> None:
    """Another size changes the distance little; of the longer side only the middle counts, as for the embedder."""
    larger = photo.resize((576, 288), Image.Resampling.BICUBIC)
    middle = photo.crop((48, 0, 144, 96))
    assert SSIM(photo, [larger, middle]) == pytest.approx([0, 0], abs=0.02)
    assert SSIM(larger, [middle])[0] == pytest.approx(0, abs=0.02)


def test_missing_library_names_the_extra(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes when SSIM is called, not at import."""
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ConfigurationError, match=r"\[ml\]"):
        SSIM(photo, [photo])


def test_only_needed_pixel_distances_are_computed(photo: Image.Image) -> None:
    """Four distances need only features; one whose pixel distances are missing raises an error."""
    needs = {name for name, distance in DISTANCES.items() if distance.on_pixels}
    assert needs == {"ssim", "hybrid"}
    assert compare_pixels(distance_named("cosine"), photo, {"a": [photo]}) == {}
    found = compare_pixels(distance_named("hybrid"), photo, {"a": [photo], "empty": []})
    assert {name: list(by_source) for name, by_source in found.items()} == {"ssim": ["a"]}
    rows = np.ones((1, 2), np.float32)
    for name in needs:
        with pytest.raises(AttributionError, match="compare_pixels"):
            distance_named(name).among(Embedded(ModelRef("e", "1"), rows[0], {"a": rows}))


def test_a_hybrid_is_the_mean_of_z_scores() -> None:
    """Z-scores are SciPy's, over all generated images of the job; a constant part contributes nothing."""
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
