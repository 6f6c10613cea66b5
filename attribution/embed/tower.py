"""The image towers of open_clip models, by the names of `pretrained.py`, each also with "#layer=8".

With a layer, features are the pooled output of that block of the tower (counted from 1): `pool=cls`, the class token,
which is the default, or `pool=mean`, the mean of the patches.

A whole tower also has taps, the patches' tokens behind some of its blocks, if it is a ViT: open_clip's own or timm's.
ResNets and ConvNeXts have none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from attribution.embed.pretrained import load_clip
from attribution.embed.taps import block_name, default_blocks
from attribution.errors import ConfigurationError
from attribution.ports import ModelRef

_POOLS = ("cls", "mean")
# Where the blocks of open_clip's own ViTs are, and those of timm's.
_BLOCKS = ("transformer.resblocks", "trunk.blocks")
# What towers raise that have no such layer, or no tokens.
_NO_TOKENS = (AttributeError, AssertionError, IndexError, RuntimeError, TypeError, ValueError)


class TappedTower(torch.nn.Module):
    """Pixels in; the tower's own features out and, for each tap block, its patches' tokens (n, patches, d).

    `blocks` are the names of the blocks and the lengths of their tokens.
    """

    def __init__(self, visual: torch.nn.Module, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        self.visual = visual
        self.at = [block - 1 for block in blocks]
        self.blocks = {block_name(block): width for block in blocks}

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features, then tokens, from one pass."""
        found = self.visual.forward_intermediates(pixels, indices=self.at, output_fmt="NLC")  # type: ignore[operator]
        return found["image_features"], *found["image_intermediates"]

    def tokens(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The tokens alone; the pass ends behind the last tap block."""
        return _tokens(self.visual, pixels, self.at)


@dataclass(frozen=True, slots=True)
class Tower:
    """An image tower in float32 on the CPU, how open_clip prepares its images, and the length of its features.

    `tapped` is the same tower with its taps, None where it has none.
    """

    module: torch.nn.Module
    steps: Sequence[Callable[[Any], Any]]
    preprocessing: dict[str, Any]
    ref: ModelRef
    dimension: int
    tapped: TappedTower | None = None


def load_tower(name: str) -> Tower:
    """The tower that `name` stands for; the text tower is discarded.

    Raises ConfigurationError where the model cannot be loaded or has no such layer.
    """
    model_name, _, layer = name.partition("#")
    clip = load_clip(model_name)
    visual, steps, ref = clip.model.visual, clip.preprocess.transforms, clip.ref
    config = dict(visual.preprocess_cfg)
    size = config["size"]
    black = torch.zeros(1, 3, *((size, size) if isinstance(size, int) else size))
    if not layer:
        whole = _Whole(visual).eval()
        with torch.inference_mode():  # timm's towers do not state the length
            dimension = int(getattr(visual, "output_dim", 0)) or whole(black).shape[1]
        return Tower(whole, steps, config, ref, dimension, _tapped(visual, black))
    block = _Block(visual, *_layer(name, layer)).eval()
    try:
        with torch.inference_mode():
            dimension = block(black).shape[1]
    except _NO_TOKENS as error:
        raise ConfigurationError(f"The embedder {name}: this model has no such layer to pool.") from error
    return Tower(block, steps, config, ModelRef(f"{ref.name}#{layer}", ref.revision), dimension)


def _tapped(visual: torch.nn.Module, black: torch.Tensor) -> TappedTower | None:
    """The tower with taps of its default blocks, or None; the first block is run to see what tokens it has."""
    for path in _BLOCKS:
        try:
            blocks = visual.get_submodule(path)
            with torch.inference_mode():
                (first,) = _tokens(visual, black, [0])
        except _NO_TOKENS:
            continue
        return TappedTower(visual, default_blocks(len(blocks)), first.shape[2]).eval()  # type: ignore[arg-type]
    return None


def _tokens(visual: torch.nn.Module, pixels: torch.Tensor, at: Sequence[int]) -> list[torch.Tensor]:
    """(n, patches, d) behind each of the blocks `at`, counted from 0; blocks after the last of them do not run."""
    found = visual.forward_intermediates(  # type: ignore[operator]
        pixels, indices=at, stop_early=True, intermediates_only=True, output_fmt="NLC"
    )
    tokens: list[torch.Tensor] = found["image_intermediates"]
    return tokens


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
