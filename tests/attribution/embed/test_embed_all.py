"""The embedding stage, with the fake embedder and with embedders that misbehave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all
from attribution.errors import AttributionError
from attribution.ports import Vectors

IMAGES = [Image.new("RGB", (8, 8), (i * 40, 100, 200 - i * 30)) for i in range(6)]


class Recording(FakeEmbedder):
    """Records its batches, and returns configured features."""

    def __init__(self, answer: Vectors | None = None) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.answer = answer

    def embed(self, images: Sequence[Image.Image]) -> Vectors:
        """The fake's features, or the answer it was given."""
        self.batches.append(len(images))
        return super().embed(images) if self.answer is None else self.answer


def test_everything_goes_in_one_batch() -> None:
    """Query and generated images are embedded in one batch, and every vector is assigned to its source."""
    embedder = Recording()
    embedded = embed_all(embedder, IMAGES[0], {"b": IMAGES[1:4], "a": IMAGES[4:]})
    assert embedder.batches == [6]
    assert list(embedded.generated_images) == ["b", "a"]
    each = FakeEmbedder().embed(IMAGES)
    assert (embedded.query == each[0]).all()
    assert (embedded.generated_images["b"] == each[1:4]).all()
    assert (embedded.generated_images["a"] == each[4:]).all()
    assert embedded.embedder == embedder.ref


def test_sources_without_generated_images_are_left_out() -> None:
    """Sources without images have no features."""
    assert list(embed_all(FakeEmbedder(), IMAGES[0], {"a": [], "b": IMAGES[1:2]}).generated_images) == ["b"]
    assert embed_all(FakeEmbedder(), IMAGES[0], {}).generated_images == {}


@pytest.mark.parametrize(
    "answer", [np.zeros((1, 64), np.float32), np.zeros((2, 3), np.float32), np.full((2, 64), np.nan, np.float32)]
)
def test_an_embedder_that_miscounts_is_an_error(answer: Vectors) -> None:
    """Features of a wrong shape, or NaN, are an error."""
    with pytest.raises(AttributionError, match="fake-embedder"):
        embed_all(Recording(answer), IMAGES[0], {"a": IMAGES[1:2]})


def test_the_fake_returns_unit_rows() -> None:
    """float32, unit norm, and equal only for equal colors."""
    rows = FakeEmbedder().embed(IMAGES)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    assert rows.shape == (6, FakeEmbedder().dimension)
