"""The third autoencoder: a VQModel's decoder for 16×16 tokens, each for one of 256 patches of 4×4 pixels.

The patches are the commonest as they are, such as the plain colors of paper, skin and hair, and k-means of the others.
A codebook that was trained together with an encoder lost the colors of the paper in the available steps; this one
cannot. The decoder learns what its tokens meant from those around them.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import VQModel
from numpy.typing import NDArray
from torch import nn

from zoo import loop
from zoo.autoencoder import compare, reconstruction
from zoo.data import Avatars, to_pixels, to_tensor
from zoo.paths import WORK

CODES = 256
PLAIN = 96  # entries that are the commonest patches exactly, and stay them
CHANNELS = 8
SIDE = 4  # pixels of a patch
BATCH = 16
LEARNED_FROM = 1500  # avatars whose patches are counted
ROUNDS = 12


def build() -> VQModel:
    """An untrained autoencoder; what it decodes lies in 0…1, as aMUSEd's pipeline wants. Its encoder is never used."""
    torch.manual_seed(0)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=CHANNELS,
        vq_embed_dim=CHANNELS,
        sample_size=64,
        num_vq_embeddings=CODES,
        norm_num_groups=8,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
        scaling_factor=1.0,
    )


def patches(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 64, 64, 3) to (n, 256, 48), in 0…1."""
    count = 64 // SIDE
    cut = pixels.reshape(len(pixels), count, SIDE, count, SIDE, 3).swapaxes(2, 3)
    return np.asarray(cut.reshape(len(pixels), count * count, -1) / np.float32(255), np.float32)


def learn(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 256 patches. (256, 48)"""
    distinct, counts = np.unique(patches(pixels).reshape(-1, 3 * SIDE * SIDE), axis=0, return_counts=True)
    common = np.argsort(-counts)
    plain, others = distinct[common[:PLAIN]], distinct[common[PLAIN:]]
    weights = np.sqrt(counts[common[PLAIN:]]).astype(np.float32)
    found = others[np.random.default_rng(0).choice(len(others), CODES - PLAIN, replace=False)]
    for _ in range(ROUNDS):
        index = nearest(others, found)
        mass = np.bincount(index, weights, CODES - PLAIN)
        for number in np.flatnonzero(mass):
            own = index == number
            found[number] = np.average(others[own], axis=0, weights=weights[own])
    return np.asarray(np.concatenate([plain, found]), np.float32)


def nearest(vectors: NDArray[np.float32], entries: NDArray[np.float32]) -> NDArray[np.intp]:
    """The number of the entry nearest to each vector. (n,)"""
    return np.asarray((np.square(entries).sum(1) - 2 * vectors @ entries.T).argmin(1))


def tokens_of(avatars: Avatars, entries: NDArray[np.float32]) -> torch.Tensor:
    """Every avatar as tokens (n, 16, 16)."""
    starts = range(0, len(avatars), 100)
    found = [nearest(patches(avatars.pixels[at : at + 100]).reshape(-1, entries.shape[1]), entries) for at in starts]
    return torch.from_numpy(np.concatenate(found).reshape(-1, 64 // SIDE, 64 // SIDE))


def principal_components(entries: NDArray[np.float32]) -> torch.Tensor:
    """The patches in as many dimensions as the codebook has: their principal components, of unit variance."""
    centered = entries - entries.mean(0)
    _, spread, axes = np.linalg.svd(centered, full_matrices=False)
    short = centered @ axes[:CHANNELS].T / spread[:CHANNELS] * np.sqrt(len(entries))
    return torch.from_numpy(short.astype(np.float32))


def train(avatars: Avatars, steps: int) -> None:
    """Trains and saves to the scratch folder with every avatar's tokens."""
    entries = learn(avatars.pixels[np.random.default_rng(0).choice(len(avatars), LEARNED_FROM, replace=False)])
    tokens = tokens_of(avatars, entries)
    model = build().to(memory_format=torch.channels_last)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    with torch.no_grad():
        model.quantize.embedding.weight.copy_(principal_components(entries))
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        index = generator.integers(0, len(avatars), BATCH)
        loss, absolute = reconstruction(2 * decode(model, tokens[index]) - 1, to_tensor(avatars.pixels[index]))
        return {"loss": loss, "l1": absolute}

    loop.train("vq", nn.ModuleDict({"model": model}), step, steps=steps, peak=3e-3)
    model.save_pretrained(WORK / "vq")
    torch.save(tokens.short(), WORK / "vq.latents.pt")
    with torch.inference_mode():
        compare("vq", avatars, lambda index: to_pixels(2 * decode(model, tokens[index]) - 1))


def decode(model: VQModel, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens as images in 0…1, as the pipeline decodes them."""
    shape = (*tokens.shape, CHANNELS)
    decoded: torch.Tensor = model.decode(tokens, force_not_quantize=True, shape=shape).sample
    return decoded


def shipped(trained: VQModel) -> VQModel:
    """The model as it is: its class sizes encoder and decoder by the same numbers, so there is no stub to put in."""
    return trained.requires_grad_(False).eval()
