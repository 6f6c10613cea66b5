"""An embedder that needs no model: a colour histogram. For tests of whole services."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image, Resampling

from attribution.ports import ModelRef, Vectors

_SIDE = 32


@dataclass(frozen=True, slots=True)
class FakeEmbedderBehaviour:
    """`levels` of each of three colours: another number is another embedder."""

    levels: int = 4
    sleep_seconds: float = 0.0

    def __post_init__(self) -> None:
        """256 shades divide evenly into powers of two."""
        if self.levels not in (2, 4, 8):
            raise ValueError("levels must be 2, 4 or 8")


class FakeEmbedder:
    """Sixty-four colour bins, smoothed so that no image is orthogonal to another."""

    def __init__(self, behaviour: FakeEmbedderBehaviour | None = None) -> None:
        self._behaviour = behaviour or FakeEmbedderBehaviour()

    @property
    def ref(self) -> ModelRef:
        """The usual one, or the number of levels."""
        levels = self._behaviour.levels
        return ModelRef("fake-embedder", "1" if levels == FakeEmbedderBehaviour().levels else f"{levels}-levels")

    @property
    def dimension(self) -> int:
        """The number of bins."""
        return self._behaviour.levels**3

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm."""
        time.sleep(self._behaviour.sleep_seconds)
        rows = np.stack([self._histogram(image) for image in images]) + 0.01
        unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _histogram(self, image: Image) -> Vectors:
        levels = self._behaviour.levels
        pixels = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Resampling.BOX)) // (256 // levels)
        bins = pixels.reshape(-1, 3).astype(np.int64) @ np.array([levels**2, levels, 1])
        counts = np.bincount(bins, minlength=self.dimension)
        shares: Vectors = counts.astype(np.float32) / np.float32(len(bins))
        return shares
