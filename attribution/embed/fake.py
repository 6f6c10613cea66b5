"""An embedder without a model: a color histogram, and taps of pixels. For tests of the whole service."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from attribution.embed.taps import pooled, taps_of
from attribution.ports import ModelRef, Vectors

_SIDE = 32
_PATCH = 2
_TAPS = taps_of({"block1": _PATCH * _PATCH * 3})


@dataclass(frozen=True, slots=True)
class FakeEmbedderBehavior:
    """`levels` of each of three colors: another number is another embedder."""

    levels: int = 4
    sleep_seconds: float = 0.0

    def __post_init__(self) -> None:
        """256 shades divide evenly into powers of two."""
        if self.levels not in (2, 4, 8):
            raise ValueError("levels must be 2, 4 or 8")


class FakeEmbedder:
    """Sixty-four color bins, smoothed so that no image is orthogonal to another."""

    def __init__(self, behavior: FakeEmbedderBehavior | None = None) -> None:
        self._behavior = behavior or FakeEmbedderBehavior()

    @property
    def ref(self) -> ModelRef:
        """The default, or the number of levels."""
        levels = self._behavior.levels
        return ModelRef("fake-embedder", "1" if levels == FakeEmbedderBehavior().levels else f"{levels}-levels")

    @property
    def dimension(self) -> int:
        """The number of bins."""
        return self._behavior.levels**3

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm."""
        time.sleep(self._behavior.sleep_seconds)
        rows = np.array([self._histogram(image) for image in images]).reshape(-1, self.dimension) + 0.01
        unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    @property
    def taps(self) -> Mapping[str, int]:
        """Mean and standard deviation of the image's patches of 2×2 pixels, as if they were tokens of a block."""
        return _TAPS

    def features(self, images: Sequence[Image]) -> tuple[Vectors, Vectors]:
        """(n, d) as `embed`, and the taps (n, 24)."""
        return self.embed(images), self.tap_features(images)

    def tap_features(self, images: Sequence[Image]) -> Vectors:
        """(n, 24): the taps."""
        pixels = np.array([_shrunk(image) for image in images]) / 255  # (n, 32, 32, 3)
        patches = pixels.reshape(-1, _SIDE // _PATCH, _PATCH, _SIDE // _PATCH, _PATCH, 3).swapaxes(2, 3)
        return pooled([patches.reshape(-1, (_SIDE // _PATCH) ** 2, _PATCH * _PATCH * 3)])

    def _histogram(self, image: Image) -> Vectors:
        levels = self._behavior.levels
        pixels = _shrunk(image) // (256 // levels)
        bins = pixels.reshape(-1, 3).astype(np.int64) @ np.array([levels**2, levels, 1])
        counts = np.bincount(bins, minlength=self.dimension)
        shares: Vectors = counts.astype(np.float32) / np.float32(len(bins))
        return shares


def _shrunk(image: Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Resampling.BOX))
