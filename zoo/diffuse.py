"""What training the four sources has in common: batches from the source's mix, saving, sample sheets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderDC, DiffusionPipeline
from torch import nn
from transformers import CLIPTextConfig, CLIPTokenizer

from zoo import loop, text
from zoo.autoencoder import shipped
from zoo.captions import Split, sample
from zoo.data import Drawings
from zoo.mixes import weights
from zoo.paths import MODELS, WORK
from zoo.sheets import sheet

WIDTH = 128  # of every text encoder
DROPPED = 0.1  # share of captions replaced by nothing, for guidance


@dataclass(frozen=True, slots=True)
class Batch:
    """Scaled latents (n, 8, 8, 8), their captions' ids (n, 24), and which captions were dropped (n,)."""

    latents: torch.Tensor
    ids: torch.Tensor
    dropped: torch.Tensor


class Recipe(Protocol):
    """One architecture: what is trained, its loss, and the stock pipeline that the result becomes."""

    modules: nn.ModuleDict

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The loss of a batch; `share` of the training time has passed."""

    def pipeline(self, vae: AutoencoderDC) -> DiffusionPipeline:
        """The trained parts as a pipeline."""


def autoencoder() -> AutoencoderDC:
    """The trained autoencoder, frozen."""
    return AutoencoderDC.from_pretrained(WORK / "autoencoder").requires_grad_(False).eval()


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


def batches(name: str, drawings: Drawings, size: int) -> Iterator[Batch]:
    """Endless random batches from the source's mix."""
    vae = autoencoder()
    latents = torch.load(WORK / "latents.pt", weights_only=True).float() * vae.config.scaling_factor
    ids = text.tokenise(text.build(), drawings.captions)
    chances = torch.from_numpy(weights(name, drawings))
    while True:
        index = torch.multinomial(chances, size, replacement=True)
        yield Batch(latents[index], ids[index], torch.rand(size) < DROPPED)


def train(name: str, recipe: Recipe, drawings: Drawings, *, seconds: float, peak: float, size: int = 64) -> None:
    """Trains the recipe for the given time and writes the pipeline to zoo/models/<name>."""
    source = batches(name, drawings, size)
    start = loop.Clock()

    def step(count: int) -> dict[str, torch.Tensor]:
        return {"loss": recipe.loss(next(source), start.share(seconds))}

    loop.train(name, recipe.modules, step, seconds=seconds, peak=peak, ema=0.998, clock=start)
    save(name, recipe.pipeline(shipped(autoencoder())))


def save(name: str, pipeline: DiffusionPipeline) -> None:
    """Writes the pipeline in half precision, keeping the model card, and a sheet of samples to look at."""
    folder = MODELS / name
    card = folder / "README.md"
    words = card.read_text() if card.exists() else None
    shutil.rmtree(folder, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    if words is not None:
        card.write_text(words)


def draw_sheet(name: str, path: Path, *, steps: int, guidance: float) -> None:
    """Eight calibration captions by four images each, with the pipeline loaded as everybody else loads it."""
    pipeline = DiffusionPipeline.from_pretrained(MODELS / name, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    faces = [face for face in sample(Split.CALIBRATION, 8, seed=5) for _ in range(4)]
    images = pipeline(
        prompt=[face.caption for face in faces],
        num_inference_steps=steps,
        guidance_scale=guidance,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(number) for number in range(len(faces))],
    ).images
    for face in faces[::4]:
        print(f"{name}: {face.caption}")
    sheet([np.asarray(image) for image in images], 8).save(path)
