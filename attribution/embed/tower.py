"""The image towers of open_clip models, by the names of `pretrained.py`, each also with "#layer=8".

With a layer, features are the pooled output of that block of the tower (counted from 1): `pool=cls`, the class token,
which is the default, or `pool=mean`, the mean of the patches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from attribution.embed.pretrained import load_clip
from attribution.errors import ConfigurationError
from attribution.ports import ModelRef

_POOLS = ("cls", "mean")


@dataclass(frozen=True, slots=True)
class Tower:
    """An image tower in float32 on the CPU, how open_clip prepares its images, and the length of its features."""

    module: torch.nn.Module
    steps: Sequence[Callable[[Any], Any]]
    preprocessing: dict[str, Any]
    ref: ModelRef
    dimension: int


def load_tower(name: str) -> Tower:
    """The tower that `name` stands for; the text tower is discarded.

    Raises ConfigurationError where the model cannot be loaded or has no such layer.
    """
    model_name, _, layer = name.partition("#")
    clip = load_clip(model_name)
    visual, steps, ref = clip.model.visual, clip.preprocess.transforms, clip.ref
    config = dict(visual.preprocess_cfg)
    if not layer:
        return Tower(_Whole(visual).eval(), steps, config, ref, int(visual.output_dim))
    block = _Block(visual, *_layer(name, layer)).eval()
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    try:
        with torch.inference_mode():
            dimension = block(torch.zeros(1, 3, height, width)).shape[1]
    except (AttributeError, AssertionError, IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(f"The embedder {name}: this model has no such layer to pool.") from error
    return Tower(block, steps, config, ModelRef(f"{ref.name}#{layer}", ref.revision), dimension)


class _Whole(torch.nn.Module):
    """Pixels in, the tower's own features out: some towers return tokens besides."""

    def __init__(self, visual: torch.nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.visual(pixels)
        first: torch.Tensor = features[0] if isinstance(features, tuple) else features
        return first


class _Block(torch.nn.Module):
    """The pooled output of block `layer`, one vector per image."""

    def __init__(self, visual: torch.nn.Module, layer: int, pool: str) -> None:
        super().__init__()
        self.visual = visual
        self.at = layer - 1
        self.pool = pool

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found = self.visual.forward_intermediates(  # type: ignore[operator]
            pixels,
            indices=[self.at],
            stop_early=True,
            intermediates_only=True,
            output_fmt="NLC",
            output_extra_tokens=True,
        )
        if self.pool == "cls":
            token: torch.Tensor = found["image_intermediates_prefix"][0][:, 0]
            return token
        patches: torch.Tensor = found["image_intermediates"][0]
        return patches.mean(dim=1)


def _layer(name: str, text: str) -> tuple[int, str]:
    options = dict(part.partition("=")[::2] for part in text.split(","))
    layer, pool = options.pop("layer", ""), options.pop("pool", "cls")
    if options or not layer.isdecimal() or int(layer) < 1 or pool not in _POOLS:
        raise ConfigurationError(f"The embedder {name}: write #layer=N, or #layer=N,pool=mean; layers count from 1.")
    return int(layer), pool
