"""Autoencoders that sources share, as many real ones do: 64×64×3 to 8×8×8 and back, or to 16×16×4, which is sharper.

They have no narrow convolutions at full resolution: on a CPU 16 channels run at a sixth of the speed of 64 channels.
AutoencoderTiny had twice the first one's error after the same three minutes, and more than twice the second one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderDC
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from zoo import loop
from zoo.data import Avatars, sheet, to_pixels, to_tensor
from zoo.paths import WORK

BATCH = 16
NOISE = 0.05  # on the latents: it makes a decoder forgive what a generator gets slightly wrong


@dataclass(frozen=True, slots=True)
class Shape:
    """One of the two: the latents' channels, widths and layers from full resolution to the latents'."""

    name: str
    channels: int
    widths: tuple[int, ...]
    layers: tuple[int, ...]

    @property
    def stub(self) -> dict[str, tuple[int, ...]]:
        """The smallest encoder that the class allows."""
        depth = len(self.widths)
        return {"encoder_block_out_channels": (8,) * depth, "encoder_layers_per_block": (0,) + (1,) * (depth - 1)}


# No layers at full resolution: the first convolution pixel-unshuffles at once.
COARSE = Shape("autoencoder", 8, (64, 64, 64, 128), (0, 1, 2, 2))
FINE = Shape("fine", 4, (64, 64, 128), (0, 1, 2))


def build(shape: Shape = COARSE) -> AutoencoderDC:
    """An untrained autoencoder."""
    return AutoencoderDC(
        latent_channels=shape.channels,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=shape.widths,
        decoder_block_out_channels=shape.widths,
        encoder_layers_per_block=shape.layers,
        decoder_layers_per_block=shape.layers,
        encoder_qkv_multiscales=((),) * len(shape.widths),
        decoder_qkv_multiscales=((),) * len(shape.widths),
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
        decoder_norm_types="rms_norm",
        # Not SiLU: at −100 its output is a denormal number, and those made a step four times slower.
        decoder_act_fns="relu",
    )


def train(avatars: Avatars, steps: int, shape: Shape = COARSE) -> None:
    """Trains, measures the latents' scale, and saves to the scratch folder in float32, with every avatar's latents."""
    torch.manual_seed(0)
    model = build(shape).to(memory_format=torch.channels_last)
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        images = to_tensor(avatars.pixels[generator.integers(0, len(avatars), BATCH)])
        latents = model.encoder(images)
        output = model.decoder(latents + NOISE * torch.randn_like(latents))
        loss, absolute = reconstruction(output, images)
        return {"loss": loss + 2e-3 * latents.square().mean(), "l1": absolute}

    loop.train(shape.name, nn.ModuleDict({"model": model}), step, steps=steps, peak=2e-3)
    _finish(shape, model, avatars)


def shipped(shape: Shape, trained: AutoencoderDC) -> AutoencoderDC:
    """The trained decoder with a stub encoder: text-to-image needs no encoder, which is 40 % of the weights."""
    # Without `_name_or_path`: a published file must not contain a local path.
    described = {key: value for key, value in trained.config.items() if not key.startswith("_")}
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the stub's random weights are the same in every source
        slim = AutoencoderDC.from_config(described | shape.stub)
    slim.decoder.load_state_dict(trained.decoder.state_dict())
    return slim.requires_grad_(False).eval()


def reconstruction(output: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of what an autoencoder makes of images, and the mean absolute error to show."""
    absolute = F.l1_loss(output, images)
    edges = F.l1_loss(_edges(output), _edges(images))
    return absolute + 0.5 * F.mse_loss(output, images) + 0.5 * edges, absolute.detach()


def _edges(images: torch.Tensor) -> torch.Tensor:
    """Differences to the neighbor below and to the right: without them thin outlines come out blurred."""
    down = images[:, :, 1:, :-1] - images[:, :, :-1, :-1]
    right = images[:, :, :-1, 1:] - images[:, :, :-1, :-1]
    return torch.cat([down, right], 1)


def _finish(shape: Shape, model: AutoencoderDC, avatars: Avatars) -> None:
    latents = encode_all(model.encoder, avatars)
    # One number for all channels: that is all that the pipelines can undo. They read the factor 8 or 4 from the number
    # of block_out_channels, which this class does not have by itself.
    scale = round(1 / latents.std().item(), 4)
    model.register_to_config(
        scaling_factor=scale, shift_factor=0.0, force_upcast=False, block_out_channels=shape.widths
    )
    model.save_pretrained(WORK / shape.name)
    torch.save(latents.half(), WORK / f"{shape.name}.latents.pt")
    compare(shape.name, avatars, lambda index: to_pixels(model.decoder(latents[index])))


@torch.inference_mode()
def compare(name: str, avatars: Avatars, rebuild: Callable[[torch.Tensor], NDArray[np.uint8]]) -> None:
    """Prints the mean error of reconstructed avatars, and writes a contact sheet of both."""
    shown = np.linspace(0, len(avatars) - 1, 24).astype(int)
    rebuilt = rebuild(torch.from_numpy(shown))
    error = np.abs(rebuilt.astype(int) - avatars.pixels[shown]).mean()
    print(f"{name}: mean error {error:.2f} of 255", flush=True)
    pairs = [np.concatenate([avatars.pixels[i], new], 1) for i, new in zip(shown, rebuilt, strict=True)]
    sheet(pairs, 4).save(WORK / f"{name}.png")


@torch.inference_mode()
def encode_all(encoder: Callable[[torch.Tensor], torch.Tensor], avatars: Avatars) -> torch.Tensor:
    """Every avatar as latents (n, c, h, w)."""
    starts = range(0, len(avatars), 100)
    return torch.cat([encoder(to_tensor(avatars.pixels[start : start + 100])) for start in starts])
