"""The autoencoder that all sources share, as many real ones do: 64×64×3 to 8×8×8 and back.

It has no narrow convolutions at full resolution: on a CPU 16 channels run at a sixth of the speed of 64 channels.
AutoencoderTiny, tried first, had almost twice this one's error after the same three minutes.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderDC
from torch import nn
from torch.nn import functional as F

from zoo import loop
from zoo.data import Drawings, to_pixels, to_tensor
from zoo.paths import WORK
from zoo.sheets import sheet

CHANNELS = 8
WIDTHS = (64, 64, 64, 128)
STUB = {"encoder_block_out_channels": (8, 8, 8, 8), "encoder_layers_per_block": (0, 1, 1, 1)}
BATCH = 16


def build() -> AutoencoderDC:
    """An untrained autoencoder."""
    return AutoencoderDC(
        latent_channels=CHANNELS,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        # No layers at full resolution: the first convolution pixel-unshuffles at once.
        encoder_layers_per_block=(0, 1, 2, 2),
        decoder_layers_per_block=(0, 1, 2, 2),
        encoder_qkv_multiscales=((),) * 4,
        decoder_qkv_multiscales=((),) * 4,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        decoder_norm_types="rms_norm",
        # Not SiLU: at −100 its output is a denormal number, and those made a step four times slower.
        decoder_act_fns="relu",
    )


def train(drawings: Drawings, seconds: float) -> None:
    """Trains, measures the latents' scale, and saves to the scratch folder in float32, with every drawing's latents."""
    torch.manual_seed(0)
    model = build().to(memory_format=torch.channels_last)
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        images = to_tensor(drawings.pixels[generator.integers(0, len(drawings), BATCH)])
        latents = model.encoder(images)
        # Noise on the latents makes the decoder forgive what a generator gets slightly wrong.
        output = model.decoder(latents + 0.05 * torch.randn_like(latents))
        absolute = F.l1_loss(output, images)
        edges = F.l1_loss(_edges(output), _edges(images))
        loss = absolute + 0.5 * F.mse_loss(output, images) + 0.5 * edges
        return {"loss": loss + 2e-3 * latents.square().mean(), "l1": absolute.detach()}

    loop.train("autoencoder", nn.ModuleDict({"model": model}), step, seconds=seconds, peak=2e-3)
    _finish(model, drawings)


def shipped(trained: AutoencoderDC) -> AutoencoderDC:
    """The trained decoder with a stub for an encoder: drawing from text needs none, and it is 40 % of the weights."""
    # Without where it was loaded from: a path on this machine has no place in a published file.
    described = {key: value for key, value in trained.config.items() if not key.startswith("_")}
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the stub's random weights are the same in every source
        slim = AutoencoderDC.from_config(described | STUB)
    slim.decoder.load_state_dict(trained.decoder.state_dict())
    return slim.requires_grad_(False).eval()


def _edges(images: torch.Tensor) -> torch.Tensor:
    """Differences to the neighbour below and to the right: without them thin outlines come out blurred."""
    down = images[:, :, 1:, :-1] - images[:, :, :-1, :-1]
    right = images[:, :, :-1, 1:] - images[:, :, :-1, :-1]
    return torch.cat([down, right], 1)


def _finish(model: AutoencoderDC, drawings: Drawings) -> None:
    latents = encode_all(model, drawings)
    # One number for all channels: that is all that the pipelines can undo. They read the factor 8 from the number of
    # block_out_channels, which this class does not have by itself.
    scale = round(1 / latents.std().item(), 4)
    model.register_to_config(scaling_factor=scale, shift_factor=0.0, force_upcast=False, block_out_channels=WIDTHS)
    model.save_pretrained(WORK / "autoencoder")
    torch.save(latents.half(), WORK / "latents.pt")
    shown = np.linspace(0, len(drawings) - 1, 24).astype(int)
    with torch.inference_mode():
        rebuilt = to_pixels(model.decoder(latents[torch.from_numpy(shown)]))
    error = np.abs(rebuilt.astype(int) - drawings.pixels[shown]).mean()
    print(f"autoencoder: mean error {error:.2f} of 255, scale {scale}")
    pairs = [np.concatenate([drawings.pixels[i], new], 1) for i, new in zip(shown, rebuilt, strict=True)]
    sheet(pairs, 4).save(WORK / "autoencoder.png")


@torch.inference_mode()
def encode_all(model: AutoencoderDC, drawings: Drawings) -> torch.Tensor:
    """Every drawing as latents (n, 8, 8, 8)."""
    starts = range(0, len(drawings), 100)
    return torch.cat([model.encoder(to_tensor(drawings.pixels[start : start + 100])) for start in starts])
