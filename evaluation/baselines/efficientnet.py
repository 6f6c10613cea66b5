"""EfficientNet-B4, all of it trained on the shots: timm's, at the images' own size.

The method starts from weights that know ImageNet. They are used where they are: in a file that is named, or in the
Hugging Face cache. Nothing is downloaded here; without them it starts from random weights, which is not the method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize

from attribution.weights import digest_of_file
from evaluation.baselines.baseline import Floats, Images, Sight, versions
from evaluation.baselines.training import Schedule, load_pixels, train

_MODEL = "efficientnet_b4"
_FILES = ("model.safetensors", "pytorch_model.bin")
_SCHEDULE = Schedule(1e-3, 16, 0.01, "cosine")
_BATCH = 64  # of queries


@dataclass(frozen=True)
class EfficientNet:
    """`size` is the side in pixels of the input."""

    weights: Path | None = None
    size: int = 64
    most: int = 15
    device: str = "cpu"
    name = "EfficientNet-B4"
    sees = frozenset({Sight.PIXELS})
    grid = (1, 10, 80)

    @property
    def pretrained(self) -> Path | None:
        """Where the weights lie that it starts from."""
        return self.weights or _cached()

    @property
    def comparable(self) -> bool:
        """Only if it starts from the weights that the method starts from."""
        return self.pretrained is not None

    @property
    def setting(self) -> Mapping[str, Any]:
        """With the cap."""
        file = self.pretrained
        return {
            "pretrained": file is not None,
            "weights": digest_of_file(file) if file else None,
            "pixels": self.size,
            "steps_at_most": self.most,
            "augmentation": None,
            **_SCHEDULE.setting,
            "libraries": versions("timm", "torch", "transformers"),
        }

    def steps(self, shots: int, sources: int) -> int | None:
        """The same for any number of shots."""
        return self.most

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """Logits."""
        torch.manual_seed(seed)
        network = self.network(shots.shape[0])
        model = _Classifier(network)
        shown = network.default_cfg
        mean, std = shown["mean"], shown["std"]
        pixels = normalize(load_pixels(shots.paths, self.size), mean, std)
        train(model, pixels, torch.from_numpy(shots.truth), _SCHEDULE, self.most, seed, self.device)
        tested = normalize(load_pixels(queries.paths, self.size), mean, std)
        with torch.inference_mode():
            found = torch.cat([model(part)["logits"] for part in torch.split(tested, _BATCH)])
        return np.asarray(found.numpy(), np.float64)

    def network(self, classes: int) -> Any:
        """With a new last layer; before it the weights it starts from."""
        file = self.pretrained
        overlay = {"file": str(file)} if file else None
        return timm.create_model(
            _MODEL, pretrained=file is not None, pretrained_cfg_overlay=overlay, num_classes=classes
        )


class _Classifier(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        logits = self.network(pixels)
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}


@lru_cache(maxsize=1)
def _cached() -> Path | None:
    known = timm.get_pretrained_cfg(_MODEL)
    repository = str(known.hf_hub_id) if known else ""
    for name in _FILES:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None
