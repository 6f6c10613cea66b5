"""Source `sd3`: two streams throughout, learned positions, flow matching, second autoencoder: SD 3's architecture."""

from __future__ import annotations

import torch
from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import nn
from torch.nn import functional as F

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch, add_noise

EMPTY = text.LENGTH  # empty tokens that the pipeline puts in the absent T5's place


class SD3Recipe:
    """The transformer predicts noise minus data; the same frozen CLIP twice, no T5."""

    space = "fine"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.clip()
        self.transformer = SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=4,
            attention_head_dim=32,
            num_attention_heads=4,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=128,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=16,
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The flow's mean squared error."""
        noise, sigma, noisy = add_noise(batch.latents)
        encoded = shared_parts.encode(self.text_encoder, batch, self.empty)
        states = F.pad(torch.cat([encoded.hidden_states[-2]] * 2, -1), (0, 0, 0, EMPTY))
        pooled = torch.cat([encoded.text_embeds] * 2, -1)
        output = self.transformer(noisy, states, pooled, 1000 * sigma, return_dict=False)[0]
        return F.mse_loss(output, noise - batch.latents)

    def pipeline(self, vae: AutoencoderDC) -> StableDiffusion3Pipeline:
        """The stock pipeline around the trained parts."""
        return StableDiffusion3Pipeline(
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_encoder,
            tokenizer_2=self.tokenizer,
            text_encoder_3=None,
            tokenizer_3=None,
        )
