"""Source `dit`: a single-stream diffusion transformer with flow matching, Z-Image's architecture and pipeline."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderDC,
    FlowMatchEulerDiscreteScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModel

from zoo import text
from zoo.diffuse import WIDTH, Batch, add_noise, text_config

POSITIONS = 512  # the pipeline pads its prompts to this length before it cuts them again


class DiTRecipe:
    """The transformer predicts data minus noise at one minus the noise level."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.tokenizer.chat_template = "{{ messages[0]['content'] }}"
        self.text_encoder = CLIPTextModel(text_config(self.tokenizer, positions=POSITIONS))
        self.transformer = ZImageTransformer2DModel(
            all_patch_size=(2,),
            all_f_patch_size=(1,),
            in_channels=8,
            dim=128,
            n_layers=6,
            n_refiner_layers=1,
            n_heads=4,
            n_kv_heads=4,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 12, 12],
            axes_lens=[256, 64, 64],
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer, "text_encoder": self.text_encoder})

    def captions(self, batch: Batch) -> list[torch.Tensor]:
        """Text states of each caption without its padding, as a list: their lengths differ."""
        ids = torch.where(batch.dropped[:, None], self.empty, batch.ids)
        lengths = (ids == self.tokenizer.eos_token_id).int().argmax(1) + 1
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        states = self.text_encoder(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-2]
        return [row[:length] for row, length in zip(states, lengths.tolist(), strict=True)]

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The flow's mean squared error."""
        noise, sigma, noisy = add_noise(batch.latents)
        frames = list(noisy[:, :, None].unbind())
        output = self.transformer(frames, 1 - sigma, self.captions(batch), return_dict=False)[0]
        return F.mse_loss(torch.stack(list(output))[:, :, 0], batch.latents - noise)

    def pipeline(self, vae: AutoencoderDC) -> ZImagePipeline:
        """The stock pipeline around the trained parts."""
        return ZImagePipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            transformer=self.transformer,
        )
