"""CLIP image features by open_clip, of the whole tower or of one of its layers; see `tower.py` for the names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torchvision.transforms import Normalize

from attribution.embed.taps import pooled, taps_of, without_taps
from attribution.embed.tower import TappedTower, load_tower
from attribution.embed.unit import unit_rows
from attribution.errors import ConfigurationError
from attribution.ports import ModelRef, Vectors


class OpenClipEmbedder:
    """One loaded image tower."""

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 32) -> None:
        """Load the model `name` stands for. Raises ConfigurationError where that cannot be done."""
        tower = load_tower(name)
        self._tower = tower.module.to(device)
        self._tapped = tower.tapped and tower.tapped.to(device)
        self._taps = taps_of(tower.tapped.blocks) if tower.tapped else {}
        # Resizing goes image by image, Pillow's part of it beside one another; the rest is done once per batch.
        self._resize: list[Callable[[Image], Image]]
        *self._resize, _, normalize = tower.steps
        if not isinstance(normalize, Normalize):
            raise ConfigurationError(f"The embedder {name} prepares its images in a way this version does not know.")
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (normalize.mean, normalize.std))
        self._threads = ThreadPoolExecutor(torch.get_num_threads())
        self._device = device
        self._batch_size = batch_size
        self._ref = tower.ref
        self._dimension = tower.dimension

    @property
    def ref(self) -> ModelRef:
        """The directory's or the tag's name, and hashes of weights and settings; see `pretrained.py`."""
        return self._ref

    @property
    def dimension(self) -> int:
        """d, the length of a feature vector."""
        return self._dimension

    @property
    def taps(self) -> Mapping[str, int]:
        """Mean and standard deviation of a ViT's patches behind blocks at a quarter and a half of its depth."""
        return self._taps

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm, computed in batches of at most `batch_size`."""
        parts = [self.finish(self.forward(pixels)) for pixels in self._batches(images)]
        return np.concatenate([np.zeros((0, self._dimension), np.float32), *parts])

    def features(self, images: Sequence[Image]) -> tuple[Vectors, Vectors]:
        """(n, d) as `embed`, and the taps (n, D), from one pass. Raises ConfigurationError if there are no taps."""
        tapped, vectors, taps = self._with_taps(), [self.embed([])], [self._no_taps()]
        for pixels in self._batches(images):
            with torch.inference_mode():
                raw, *tokens = (each.float().cpu() for each in tapped(pixels.to(self._device)))
            vectors.append(self.finish(raw))
            taps.append(pooled([each.numpy() for each in tokens]))
        return np.concatenate(vectors), np.concatenate(taps)

    def tap_features(self, images: Sequence[Image]) -> Vectors:
        """(n, D): the taps, without the blocks behind the last of them. Raises ConfigurationError if there are none."""
        tapped, taps = self._with_taps(), [self._no_taps()]
        for pixels in self._batches(images):
            with torch.inference_mode():
                tokens = [each.float().cpu() for each in tapped.tokens(pixels.to(self._device))]
            taps.append(pooled([each.numpy() for each in tokens]))
        return np.concatenate(taps)

    def prepare(self, images: Sequence[Image]) -> torch.Tensor:
        """(n, 3, h, w): the model's own resizing and normalisation, to the bit."""
        resized = np.stack(list(self._threads.map(self._resized, images)))  # (n, h, w, 3)
        pixels = torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous().float()
        return pixels.div_(255).sub_(self._mean).div_(self._std)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, d) raw features; the only step that touches the device."""
        with torch.inference_mode():
            raw: torch.Tensor = self._tower(pixels.to(self._device)).float().cpu()
        return raw

    def shown(self, image: Image) -> torch.Tensor:
        """(3, h, w) in [0, 1]: the image at the size that the model looks at, for those who change it there."""
        return torch.tensor(self._resized(image)).permute(2, 0, 1).float().div(255)

    def differentiable(self, shown: torch.Tensor) -> torch.Tensor:
        """(n, d) raw features of (n, 3, h, w) in [0, 1], with gradients."""
        features: torch.Tensor = self._tower(((shown - self._mean) / self._std).to(self._device)).float().cpu()
        return features

    def finish(self, features: torch.Tensor) -> Vectors:
        """(n, d) of unit norm."""
        return unit_rows(features.numpy(), self._ref.name)

    def _batches(self, images: Sequence[Image]) -> Iterator[torch.Tensor]:
        for start in range(0, len(images), self._batch_size):
            yield self.prepare(images[start : start + self._batch_size])

    def _with_taps(self) -> TappedTower:
        if self._tapped is None:
            raise without_taps(self._ref)
        return self._tapped

    def _no_taps(self) -> Vectors:
        return np.zeros((0, sum(self._taps.values())), np.float32)

    def _resized(self, image: Image) -> NDArray[np.uint8]:
        image = image.convert("RGB")
        for step in self._resize:
            image = step(image)
        return np.asarray(image)
