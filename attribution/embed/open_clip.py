"""CLIP image features by open_clip: hub tags ("ViT-L-14-336/openai"), "hf-hub:…" and "local-dir:…"."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torchvision.transforms import Normalize

from attribution.errors import AttributionError, ConfigurationError
from attribution.ports import ModelRef, Vectors
from attribution.weights import digest_of_file

_LOCAL = "local-dir:"


class OpenClipEmbedder:
    """One loaded image tower; the text tower is thrown away."""

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 32) -> None:
        """Load the model `name` stands for. Raises ConfigurationError where that cannot be done."""
        directory = Path(name.removeprefix(_LOCAL)) if name.startswith(_LOCAL) else None
        architecture, _, tag = (name, "", "") if ":" in name else name.partition("/")
        try:
            model, _, preprocess = open_clip.create_model_and_transforms(
                architecture, pretrained=tag or None, device="cpu", require_pretrained=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"The embedder {name} cannot be loaded; are its name and files right?") from error
        self._tower = model.visual.to(device).eval()
        # Resizing goes image by image, Pillow's part of it beside one another; the rest is done once per batch.
        self._resize: list[Callable[[Image], Image]]
        *self._resize, _, normalize = preprocess.transforms
        if not isinstance(normalize, Normalize):
            raise ConfigurationError(f"The embedder {name} prepares its images in a way this version does not know.")
        self._mean, self._std = (torch.tensor(values)[:, None, None] for values in (normalize.mean, normalize.std))
        self._threads = ThreadPoolExecutor(torch.get_num_threads())
        self._device = device
        self._batch_size = batch_size
        self._ref = ModelRef(directory.name if directory else name, _revision(model, directory))
        self._dimension = int(model.visual.output_dim)

    @property
    def ref(self) -> ModelRef:
        """The directory's or the tag's name, and a hash of the weights."""
        return self._ref

    @property
    def dimension(self) -> int:
        """d, the length of a feature vector."""
        return self._dimension

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm, computed in batches of at most `batch_size`."""
        parts = [
            self.finish(self.forward(self.prepare(images[start : start + self._batch_size])))
            for start in range(0, len(images), self._batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self._dimension), np.float32)

    def prepare(self, images: Sequence[Image]) -> torch.Tensor:
        """(n, 3, h, w): the model's own resizing and normalisation, to the bit."""
        resized = np.stack(list(self._threads.map(self._resized, images)))  # (n, h, w, 3)
        pixels = torch.from_numpy(resized).permute(0, 3, 1, 2).contiguous().float()
        return pixels.div_(255).sub_(self._mean).div_(self._std)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, d) raw features; the only step that touches the device."""
        with torch.inference_mode():
            features = self._tower(pixels.to(self._device))
        if isinstance(features, tuple):
            features = features[0]
        raw: torch.Tensor = features.float().cpu()
        return raw

    def _resized(self, image: Image) -> NDArray[np.uint8]:
        image = image.convert("RGB")
        for step in self._resize:
            image = step(image)
        return np.asarray(image)

    def finish(self, features: torch.Tensor) -> Vectors:
        """(n, d) of unit norm. Normalised in float64, so that a row's norm is 1 to float32's last digit."""
        rows = features.numpy().astype(np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms == 0).any():
            raise AttributionError(f"The embedder {self._ref.name} returned features without a direction.")
        unit: Vectors = (rows / norms).astype(np.float32)
        return unit


def _revision(model: torch.nn.Module, directory: Path | None) -> str:
    """A hash of the weight file where we hold it, else of the weights: a tag's file may be replaced."""
    if directory is not None:
        for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"):
            if (directory / name).is_file():
                return digest_of_file(directory / name)
    whole = sha256()
    for key, tensor in sorted(model.state_dict().items()):
        whole.update(key.encode())
        whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return f"sha256:{whole.hexdigest()[:16]}"
