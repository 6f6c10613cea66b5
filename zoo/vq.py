"""The third autoencoder: a VQModel, 64×64×3 to 16×16 tokens out of 256.

It starts without quantisation; then the codebook becomes the means of what the encoder says and follows it as a running
average, and entries that nothing is near are replaced by something that occurs.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import VQModel
from torch import nn
from torch.nn import functional as F

from zoo import loop
from zoo.autoencoder import compare, reconstruction
from zoo.data import Drawings, to_pixels, to_tensor
from zoo.paths import WORK

CODES = 256
CHANNELS = 8
BATCH = 8
FREE = 0.25  # share of the steps without quantisation
KEPT = 0.98  # of the running averages at every step
DEAD = 0.05  # an entry with fewer tokens a step is replaced


def build() -> VQModel:
    """An untrained autoencoder; what it decodes lies in 0…1, as aMUSEd's pipeline wants."""
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        latent_channels=CHANNELS,
        vq_embed_dim=CHANNELS,
        sample_size=64,
        num_vq_embeddings=CODES,
        norm_num_groups=16,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
        scaling_factor=1.0,
    )


class Codebook(nn.Module):
    """Running averages of how often each entry is nearest, and of the vectors that it is nearest to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(CODES))
        self.register_buffer("totals", torch.zeros(CODES, CHANNELS))
        self.counts: torch.Tensor
        self.totals: torch.Tensor

    @property
    def entries(self) -> torch.Tensor:
        """The means. (256, c)"""
        return self.totals / self.counts.clamp(min=1e-6)[:, None]

    def start(self, vectors: torch.Tensor) -> None:
        """Eight rounds of k-means from random vectors."""
        entries = vectors[torch.randperm(len(vectors))[:CODES]]
        for _ in range(8):
            self._set(entries, *self._sums(nearest(vectors, entries), vectors))
            entries = torch.where(self.counts[:, None] > 0, self.entries, entries)
        self.counts.clamp_(min=1)
        self.totals.copy_(entries * self.counts[:, None])

    def follow(self, vectors: torch.Tensor) -> torch.Tensor:
        """The nearest entries' numbers, after which the averages move."""
        index = nearest(vectors, self.entries)
        counts, totals = self._sums(index, vectors)
        self.counts.lerp_(counts, 1 - KEPT)
        self.totals.lerp_(totals, 1 - KEPT)
        dead = self.counts < DEAD
        if dead.any():
            self.totals[dead] = vectors[torch.randint(0, len(vectors), (int(dead.sum()),))]
            self.counts[dead] = 1.0
        return index

    def _sums(self, index: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts = torch.bincount(index, minlength=CODES).float()
        return counts, torch.zeros(CODES, CHANNELS).index_add_(0, index, vectors)

    def _set(self, entries: torch.Tensor, counts: torch.Tensor, totals: torch.Tensor) -> None:
        self.counts.copy_(counts)
        self.totals.copy_(totals)


def nearest(vectors: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """The number of the entry nearest to each vector. (n,)"""
    return (entries.square().sum(1) - 2 * vectors @ entries.T).argmin(1)


def train(drawings: Drawings, steps: int) -> None:
    """Trains and saves to the scratch folder with every drawing's tokens."""
    torch.manual_seed(0)
    model = build().to(memory_format=torch.channels_last)
    model.quantize.requires_grad_(False)
    book = Codebook()
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        images = to_tensor(drawings.pixels[generator.integers(0, len(drawings), BATCH)])
        latents = model.encode(images).latents
        commitment = latents.new_zeros(())
        if count >= FREE * steps:
            flat = latents.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
            with torch.no_grad():
                if not book.counts.any():
                    book.start(flat)
                index = book.follow(flat)
            chosen = book.entries[index].view(*latents.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
            commitment = F.mse_loss(latents, chosen)
            latents = latents + (chosen - latents).detach()
        else:
            latents = latents + 0.1 * torch.randn_like(latents)
        output = model.decoder(model.post_quant_conv(latents))
        loss, absolute = reconstruction(2 * output - 1, images)
        loss = loss + 0.25 * commitment + 1e-3 * latents.square().mean()
        return {"loss": loss, "l1": absolute, "commitment": commitment.detach()}

    loop.train("vq", nn.ModuleDict({"model": model, "book": book}), step, steps=steps, peak=1.5e-3)
    model.quantize.embedding.weight.copy_(book.entries)
    model.save_pretrained(WORK / "vq")
    tokens = encode(model, drawings)
    print(f"vq: {len(tokens.unique())} of {CODES} entries used")
    torch.save(tokens.short(), WORK / "vq.latents.pt")
    compare("vq", drawings, lambda index: to_pixels(2 * decode(model, tokens[index]) - 1))


@torch.inference_mode()
def encode(model: VQModel, drawings: Drawings) -> torch.Tensor:
    """Every drawing as tokens (n, 16, 16)."""
    parts = []
    for start in range(0, len(drawings), 100):
        latents = model.encode(to_tensor(drawings.pixels[start : start + 100])).latents.permute(0, 2, 3, 1)
        parts.append(nearest(latents.reshape(-1, CHANNELS), model.quantize.embedding.weight).view(latents.shape[:3]))
    return torch.cat(parts)


def decode(model: VQModel, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens as images in 0…1, as the pipeline decodes them."""
    shape = (*tokens.shape, CHANNELS)
    decoded: torch.Tensor = model.decode(tokens, force_not_quantize=True, shape=shape).sample
    return decoded


def shipped(trained: VQModel) -> VQModel:
    """The model as it is: its class sizes encoder and decoder by the same numbers, so there is no stub to put in."""
    return trained.requires_grad_(False).eval()
