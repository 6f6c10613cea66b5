"""Source `pixart`: a transformer with cross-attention, sampled by DPM-Solver++: PixArt's architecture.

It predicts velocity. With noise prediction, as PixArt has it, 700 steps were not enough to follow a caption: near pure
noise, where captions matter, the error of the noise is almost zero.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
from torch import nn
from torch.nn import functional as F

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch

NOISE = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


def build() -> PixArtTransformer2DModel:
    """An untrained transformer on patches of 2×2 latents."""
    return PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=8,
        out_channels=8,
        num_layers=5,
        cross_attention_dim=128,
        sample_size=8,
        patch_size=2,
        caption_channels=WIDTH,
        use_additional_conditions=False,
        interpolation_scale=1,
    )


class PixArtRecipe:
    """Velocity prediction; a frozen CLIP in T5's place."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.plain_clip()
        self.transformer = build()
        self.scheduler = DPMSolverMultistepScheduler(
            **NOISE, prediction_type="v_prediction", timestep_spacing="trailing", final_sigmas_type="zero"
        )
        self.alphas = self.scheduler.alphas_cumprod
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The mean squared error of the velocity."""
        noise = torch.randn_like(batch.latents)
        steps = torch.randint(0, 1000, (len(noise),))
        kept = self.alphas[steps][:, None, None, None]
        signal, spread = kept.sqrt(), (1 - kept).sqrt()
        states, mask = self.encode(batch)
        output = predict(self.transformer, signal * batch.latents + spread * noise, steps, states, mask)
        return F.mse_loss(output, signal * noise - spread * batch.latents)

    @torch.no_grad()
    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Text states and which of them are real."""
        ids, mask = shared_parts.ids_and_mask(batch, self.tokenizer, self.empty)
        return self.text_encoder(ids, attention_mask=mask)[0], mask

    def pipeline(self, vae: AutoencoderDC) -> PixArtSigmaPipeline:
        """The stock pipeline around the trained parts."""
        return PixArtSigmaPipeline(
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder,
            vae=vae,
            transformer=self.transformer,
            scheduler=self.scheduler,
        )


def predict(
    model: PixArtTransformer2DModel, noisy: torch.Tensor, steps: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The velocity that the transformer sees."""
    output: torch.Tensor = model(
        noisy,
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        timestep=steps,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        return_dict=False,
    )[0]
    return output
