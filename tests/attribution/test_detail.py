"""Whether a query shows less detail than the generated images, and that all are then compared at its size."""

import numpy as np
import pytest
from PIL import Image

from attribution.canonical import canonical
from attribution.detail import common_side
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all
from attribution.ports import Method


def scene(seed: int, side: int = 128) -> Image.Image:
    """Shapes of all sizes: noise of each octave, the finer the weaker."""
    random = np.random.default_rng(seed)
    pixels = sum(
        np.asarray(
            Image.fromarray(random.normal(0, 8 * 128 / cells, (cells, cells)).astype(np.float32)).resize((side, side))
        )
        for cells in (2, 4, 8, 16, 32, 64, side)
    )
    return Image.fromarray(np.clip(128 + np.asarray(pixels) / 8, 0, 255).astype(np.uint8)).convert("RGB")


GENERATED = [scene(seed) for seed in range(3)]


def halved_and_enlarged(image: Image.Image) -> Image.Image:
    """As an upload that was scaled down and up again."""
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    return half.resize(image.size, Image.Resampling.BICUBIC)


def test_a_query_as_generated_is_compared_as_it_is() -> None:
    """Of the same size and detail, or larger."""
    assert common_side(scene(7), GENERATED) is None
    assert common_side(scene(7).resize((300, 300), Image.Resampling.BICUBIC), GENERATED) is None
    assert common_side(scene(7, 512), [scene(8, 1024)]) is None, "the canonical form is smaller than both"


@pytest.mark.parametrize("size", [(64, 64), (90, 64), (7, 100)])
def test_a_smaller_query_sets_the_side(size: tuple[int, int]) -> None:
    """Its shorter side, as the middle square is compared."""
    assert common_side(scene(7).resize(size), GENERATED) == min(size)


def test_a_query_that_was_enlarged_again_is_found() -> None:
    """It has the size of the generated images, and half of their detail."""
    assert common_side(halved_and_enlarged(scene(7)), GENERATED) == 64
    assert common_side(halved_and_enlarged(scene(7)), [halved_and_enlarged(each) for each in GENERATED]) is None


def test_sources_without_detail_do_not_make_a_query_small() -> None:
    """A query by a source whose images are smooth has no less detail than that source's images."""
    smooth = [halved_and_enlarged(scene(9)), *GENERATED]
    assert common_side(halved_and_enlarged(scene(7)), smooth) is None


def test_tiny_and_flat_images_are_compared_somehow() -> None:
    """Neither a pixel nor a sheet of one color is an error."""
    assert common_side(Image.new("RGB", (1, 1)), GENERATED) == 1
    assert common_side(Image.new("RGB", (64, 64)), [Image.new("RGB", (64, 64))]) is None
    assert common_side(scene(7), []) is None
    assert common_side(Image.new("RGB", (8, 8)), [Image.new("RGB", (8, 8))]) is None


def test_the_reduced_form_has_the_detail_of_the_small_image() -> None:
    """A generated image that is reduced is nearly what the same image is that was sent small."""
    small = canonical(scene(7).resize((32, 32), Image.Resampling.LANCZOS))
    reduced, whole = canonical(scene(7), 32), canonical(scene(7))
    assert canonical(scene(7), 500).tobytes() == whole.tobytes(), "nothing is enlarged"

    def apart(form: Image.Image) -> float:
        return float(np.abs(np.asarray(form, float) - np.asarray(small, float)).mean())

    assert apart(reduced) < 0.5 < apart(whole)


def test_all_images_of_a_job_are_reduced() -> None:
    """Features are those of the reduced forms, and say so."""
    images = {"a": GENERATED[:2], "b": GENERATED[2:]}
    query = scene(7).resize((64, 64))
    taps = embed_all(FakeEmbedder(), query, images, Method.RESIDUAL, 64).taps
    small = {
        source: [each.resize((64, 64), Image.Resampling.LANCZOS) for each in row] for source, row in images.items()
    }
    same = embed_all(FakeEmbedder(), query, small, Method.RESIDUAL).taps
    assert taps is not None
    assert same is not None
    assert (taps.side, same.side) == (64, None)
    assert np.allclose(taps.query, same.query)
    for source in images:
        assert np.allclose(taps.generated_images[source], same.generated_images[source])
