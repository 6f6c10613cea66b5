"""An encoder for the decoder that ships: the first four sources carry a stub in its place, and newcomers need latents.

Not needed where the autoencoder was trained: that left both in the scratch folder.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderDC
from torch import nn

from zoo import loop
from zoo.autoencoder import BATCH, NOISE, build, compare, encode_all, reconstruction
from zoo.data import Avatars, to_pixels, to_tensor
from zoo.paths import MODELS, WORK


def train(avatars: Avatars, steps: int) -> None:
    """Trains the encoder against the frozen decoder, and leaves the scratch folder as `autoencoder.train` does."""
    torch.manual_seed(0)
    shipped = AutoencoderDC.from_pretrained(MODELS / "unet" / "vae", dtype=torch.float32)
    model = build().to(memory_format=torch.channels_last)
    model.decoder.load_state_dict(shipped.decoder.state_dict())
    model.decoder.requires_grad_(False)
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        images = to_tensor(avatars.pixels[generator.integers(0, len(avatars), BATCH)])
        latents = model.encoder(images)
        loss, absolute = reconstruction(model.decoder(latents + NOISE * torch.randn_like(latents)), images)
        return {"loss": loss + 2e-3 * latents.square().mean(), "l1": absolute}

    loop.train("encoder", nn.ModuleDict({"encoder": model.encoder}), step, steps=steps, peak=2e-3)
    latents = encode_all(model.encoder, avatars)
    print(f"encoder: latents' deviation × scale is {latents.std().item() * shipped.config.scaling_factor:.3f}")
    keys = ("scaling_factor", "shift_factor", "force_upcast", "block_out_channels")
    model.register_to_config(**{key: shipped.config[key] for key in keys})
    model.save_pretrained(WORK / "autoencoder")
    torch.save(latents.half(), WORK / "autoencoder.latents.pt")
    compare("autoencoder", avatars, lambda index: to_pixels(model.decoder(latents[index])))
