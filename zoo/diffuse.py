"""What training the sources has in common: batches from the source's mix of avatar styles, and saving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import AutoencoderDC, DiffusionPipeline, ModelMixin, VQModel
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPTextConfig, CLIPTokenizer

from zoo import autoencoder, loop, text, vq
from zoo.data import Avatars, to_tensor
from zoo.paths import MODELS, WORK
from zoo.render import STYLES

MIXES: dict[str, dict[str, float]] = {
    "unet": {"avataaars": 0.74, "toonHead": 0.14, "personas": 0.12},
    "lcm": {"avataaars": 0.60, "toonHead": 0.25, "personas": 0.15},
    "dit": {"micah": 0.78, "miniavs": 0.11, "avataaars": 0.11},
    "mmdit": {"personas": 0.76, "micah": 0.12, "miniavs": 0.06, "toonHead": 0.06},
    "pixart": {"openPeeps": 0.60, "micah": 0.25, "personas": 0.15},
    "sd3": {"pixelArt": 0.60, "toonHead": 0.25, "avataaars": 0.15},
    "flux": {"toonHead": 0.60, "pixelArt": 0.25, "micah": 0.15},
    "vunet": {"avataaars": 0.50, "toonHead": 0.30, "openPeeps": 0.20},
    "amused": {"miniavs": 0.60, "pixelArt": 0.25, "personas": 0.15},
    "pixel": {"avataaars": 0.60, "miniavs": 0.25, "personas": 0.15},
    "unet-tuned": {"avataaars": 0.45, "personas": 0.35, "openPeeps": 0.20},
    "pixart-lcm": {"openPeeps": 0.50, "micah": 0.25, "personas": 0.25},
    "flux-tuned": {"toonHead": 0.45, "openPeeps": 0.30, "micah": 0.25},
    "mmdit-tuned": {"personas": 0.45, "miniavs": 0.35, "toonHead": 0.20},
}


def weights(name: str, avatars: Avatars) -> NDArray[np.float64]:
    """The probability of every avatar in the source's training; sums to one."""
    shares = np.array([MIXES[name].get(style, 0.0) for style in STYLES])
    counts = np.bincount(avatars.styles, minlength=len(STYLES))
    each = (shares / counts)[avatars.styles]
    return np.asarray(each / each.sum())


WIDTH = 128  # of every text encoder
DROPPED = 0.1  # share of captions replaced by nothing, for guidance


@dataclass(frozen=True, slots=True)
class Batch:
    """Targets (scaled latents, tokens or pixels), ids of the captions (n, 24), which captions are dropped (n,)."""

    latents: torch.Tensor
    ids: torch.Tensor
    dropped: torch.Tensor


class Recipe(Protocol):
    """One architecture: what is trained, in which space, its loss, and the stock pipeline that the result becomes."""

    modules: nn.ModuleDict
    space: str

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The loss of a batch; `share` of the steps are done."""

    def pipeline(self, vae: Any) -> DiffusionPipeline:
        """The trained parts as a pipeline; `vae` is what `shipped` makes of the space, None for pixels."""


def shipped(space: str) -> ModelMixin | None:
    """The autoencoder of a space as pipelines carry it: generation from text needs no encoder."""
    for shape in (autoencoder.COARSE, autoencoder.FINE):
        if space == shape.name:
            return autoencoder.shipped(shape, AutoencoderDC.from_pretrained(WORK / space))
    if space == "vq":
        return vq.shipped(VQModel.from_pretrained(WORK / space))
    return None


def targets(space: str, avatars: Avatars) -> Callable[[torch.Tensor], torch.Tensor]:
    """The training targets of a source in this space, by index of the avatar."""
    if space == "pixels":
        return lambda index: to_tensor(avatars.pixels[index.numpy()]).contiguous()
    if space == "vq":
        tokens = torch.load(WORK / "vq.latents.pt", weights_only=True).long()
        return lambda index: tokens[index]
    scale = json.loads((WORK / space / "config.json").read_text())["scaling_factor"]
    latents = torch.load(WORK / f"{space}.latents.pt", weights_only=True).float() * scale
    return lambda index: latents[index]


def add_noise(clean: torch.Tensor, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, noise levels (n,) and the mixture of both that flow matching trains on; levels are logit-normal."""
    noise = scale * torch.randn_like(clean)
    sigma = torch.sigmoid(torch.randn(len(noise)))
    return noise, sigma, torch.lerp(clean, noise, sigma[:, None, None, None])


def text_config(tokenizer: CLIPTokenizer, *, positions: int = text.LENGTH, layers: int = 2) -> CLIPTextConfig:
    """A tiny CLIP text encoder, 128 wide."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=positions,
        projection_dim=WIDTH,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def batches(name: str, space: str, avatars: Avatars, size: int) -> Iterator[Batch]:
    """Endless random batches from the source's mix."""
    find = targets(space, avatars)
    ids = text.tokenize(text.build(), avatars.captions)
    chances = torch.from_numpy(weights(name, avatars))
    while True:
        index = torch.multinomial(chances, size, replacement=True)
        yield Batch(find(index), ids[index], torch.rand(size) < DROPPED)


def train(
    name: str,
    recipe: Recipe,
    avatars: Avatars,
    *,
    steps: int,
    peak: float,
    size: int = 64,
    stage: str | None = None,
) -> None:
    """Trains the recipe for that many steps and writes the pipeline to zoo/models/<name>.

    `stage` names the checkpoint of a source that is trained a second time.
    """
    source = batches(name, recipe.space, avatars, size)

    def step(count: int) -> dict[str, torch.Tensor]:
        return {"loss": recipe.loss(next(source), count / steps)}

    loop.train(stage or name, recipe.modules, step, steps=steps, peak=peak, ema=0.998)
    save(name, recipe.pipeline(shipped(recipe.space)))


def save(name: str, pipeline: DiffusionPipeline) -> None:
    """Writes the pipeline in half precision, keeping the model card, and a sheet of samples to look at."""
    folder = MODELS / name
    card = folder / "README.md"
    words = card.read_text() if card.exists() else None
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    forget_origin(folder)
    if words is not None:
        card.write_text(words)


def forget_origin(folder: Path) -> None:
    """Removes the local path from the configurations of loaded parts: it would change the revision."""
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
