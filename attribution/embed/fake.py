"""An embedder that needs no model: a colour histogram. For tests of whole services."""

import time
from collections.abc import Sequence

import numpy as np
from PIL.Image import Image, Resampling

from attribution.ports import ModelRef, Vectors

_LEVELS = 4
_SIDE = 32


class FakeEmbedder:
    """Sixty-four colour bins, smoothed so that no image is orthogonal to another."""

    def __init__(self, sleep_seconds: float = 0.0) -> None:
        self._sleep_seconds = sleep_seconds

    @property
    def ref(self) -> ModelRef:
        """There is only this one."""
        return ModelRef("fake-embedder", "1")

    @property
    def dimension(self) -> int:
        """The number of bins."""
        return _LEVELS**3

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, 64) float32, rows of unit L2 norm."""
        time.sleep(self._sleep_seconds)
        rows = np.stack([self._histogram(image) for image in images]) + 0.01
        unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def _histogram(self, image: Image) -> Vectors:
        pixels = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Resampling.BOX)) // (256 // _LEVELS)
        bins = pixels.reshape(-1, 3).astype(np.int64) @ np.array([_LEVELS**2, _LEVELS, 1])
        counts = np.bincount(bins, minlength=self.dimension)
        shares: Vectors = counts.astype(np.float32) / np.float32(len(bins))
        return shares
