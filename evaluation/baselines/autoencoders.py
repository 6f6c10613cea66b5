"""Tiny autoencoders (Bindini et al., WIFS 2024): one for each source, trained on its shots and on nothing else.

An image is attributed to the source whose autoencoder reconstructs it with the smallest error. Each is stored alone,
so that a further source trains one more and leaves the others unchanged. The size of the network is ours.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evaluation.baselines.baseline import Floats, Images, Sight, versions
from evaluation.baselines.training import Schedule, load_pixels, train
from evaluation.store import Store, key_of

_SCHEDULE = Schedule(3e-3, 16)
_WIDTHS = (3, 16, 32, 16)  # channels from the image to the code, half the side at each step
_BATCH = 256  # of queries


@dataclass(frozen=True)
class Autoencoders:
    """`size` is the side in pixels of the input."""

    store: Store
    size: int = 64
    most: int = 200
    device: str = "cpu"
    name = "Tiny Autoencoders"
    sees = frozenset({Sight.PIXELS})
    grid = (1, 5, 10, 80)
    comparable = True

    @property
    def setting(self) -> Mapping[str, Any]:
        """With the cap."""
        return {
            "channels": list(_WIDTHS),
            "pixels": self.size,
            "steps_at_most": self.most,
            "steps_are": "for each source",
            "error": "mean square over an image",
            **_SCHEDULE.setting,
            "libraries": versions("torch", "transformers"),
        }

    def steps(self, shots: int, sources: int) -> int | None:
        """Of each autoencoder."""
        return self.most

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """Minus the errors."""
        pixels = load_pixels(queries.paths, self.size)
        columns = [self._errors(shots.rows(slice(at, at + 1)), pixels, seed) for at in range(len(shots.sources))]
        return -np.stack(columns, axis=1)

    def _errors(self, shots: Images, pixels: torch.Tensor, seed: int) -> Floats:
        """(Q,) of one source's autoencoder."""
        torch.manual_seed(seed)
        model = _Autoencoder()
        key = key_of("autoencoder/1", dict(self.setting), shots.fingerprint(self.sees), seed)
        if self.store.has(key, ".pt"):
            kept = io.BytesIO(self.store.path(key, ".pt").read_bytes())
            model.load_state_dict(torch.load(kept, weights_only=True))
        else:
            shown = load_pixels(shots.paths, self.size)
            train(model, shown, shown, _SCHEDULE, self.most, seed, self.device)
            buffer = io.BytesIO()
            torch.save(model.state_dict(), buffer)
            self.store.put(key, ".pt", buffer.getvalue())
        with torch.inference_mode():
            errors = [
                ((model(part)["generated"] - part) ** 2).mean(dim=(1, 2, 3)) for part in torch.split(pixels, _BATCH)
            ]
        return np.asarray(torch.cat(errors).numpy(), np.float64)


class _Autoencoder(nn.Module):
    """Three convolutions down, three up."""

    def __init__(self) -> None:
        super().__init__()
        down = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(_WIDTHS)]
        up = [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(_WIDTHS[::-1])]
        layers = [layer for convolution in (*down, *up) for layer in (convolution, nn.SiLU())]
        self.layers = nn.Sequential(*layers[:-1], nn.Sigmoid())

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        generated = self.layers(pixels)
        return (
            {"generated": generated}
            if labels is None
            else {"loss": F.mse_loss(generated, labels), "generated": generated}
        )
