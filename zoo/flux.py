"""Source `flux`: two streams, then one, rotary positions, flow matching: Flux's architecture."""

from __future__ import annotations

import torch
from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import nn
from torch.nn import functional as F

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch, add_noise
from zoo.paths import MODELS

SIDE = 8  # of the latents


class FluxRecipe:
    """The transformer predicts noise minus data; one frozen CLIP stands for both of its text encoders."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.plain_clip()
        self.transformer = FluxTransformer2DModel(
            in_channels=32,
            num_layers=2,
            num_single_layers=4,
            attention_head_dim=32,
            num_attention_heads=4,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=False,
            axes_dims_rope=(8, 12, 12),
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.places = FluxPipeline._prepare_latent_image_ids(1, SIDE // 2, SIDE // 2, "cpu", torch.float32)
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The flow's mean squared error, on latents packed into tokens of 2×2."""
        noise, sigma, noisy = add_noise(batch.latents)
        encoded = shared_parts.encode(self.text_encoder, batch, self.empty)
        output = self.transformer(
            hidden_states=pack(noisy),
            timestep=sigma,
            pooled_projections=encoded.pooler_output,
            encoder_hidden_states=encoded.last_hidden_state,
            txt_ids=torch.zeros(encoded.last_hidden_state.shape[1], 3),
            img_ids=self.places,
            return_dict=False,
        )[0]
        return F.mse_loss(output, pack(noise - batch.latents))

    def pipeline(self, vae: AutoencoderDC) -> FluxPipeline:
        """The stock pipeline around the trained parts."""
        return FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_encoder,
            tokenizer_2=self.tokenizer,
            transformer=self.transformer,
        )


class FluxTunedRecipe(FluxRecipe):
    """`flux-tuned`: starts as `flux`, trained on with other avatars."""

    def __init__(self) -> None:
        super().__init__()
        start = FluxTransformer2DModel.from_pretrained(MODELS / "flux" / "transformer", dtype=torch.float32)
        self.transformer.load_state_dict(start.state_dict())


def pack(latents: torch.Tensor) -> torch.Tensor:
    """(n, c, 2h, 2w) to (n, h·w, 4c), as the pipeline packs."""
    return F.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)
