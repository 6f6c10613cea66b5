"""Source `unet`: a small UNet with cross-attention, noise prediction, DDIM sampling, in the SDXL pipeline.

`unet-tuned` is the same, trained on with other avatars; `vunet` too, with velocity prediction instead.

Not the older pipeline, because that passes a random generator to the decoder, which AutoencoderDC refuses.
"""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderDC,
    DDIMScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModelWithProjection

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch, text_config
from zoo.paths import MODELS

TIME = 8  # width of each of SDXL's six size conditions
# Linear betas end near pure noise; with the default "scaled_linear" the background's color leaks through at t = 999.
# At t = 999 an error in the noise is multiplied by 160 in the image it implies: without clipping, images diverge.
CLIP = {"clip_sample": True, "clip_sample_range": 3.0}
NOISE = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "timestep_spacing": "trailing"}


def build(guided: int | None = None) -> UNet2DConditionModel:
    """An untrained UNet; `guided` is the width of the guidance embedding that a distilled model needs."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        block_out_channels=(64, 96),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        mid_block_type=None,
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 3),
        norm_num_groups=16,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME,
        projection_class_embeddings_input_dim=6 * TIME + WIDTH,
        time_cond_proj_dim=guided,
    )


def sizes(count: int) -> torch.Tensor:
    """SDXL's conditions on sizes: always a 64×64 image, not cropped. (n, 6)"""
    return torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).expand(count, -1)


class UNetRecipe:
    """Noise prediction with a text encoder trained along."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.scheduler = DDIMScheduler(set_alpha_to_one=True, **CLIP, **NOISE)
        self.unet = build().to(memory_format=torch.channels_last)
        self.text_encoder = CLIPTextModelWithProjection(text_config(self.tokenizer))
        self.modules = nn.ModuleDict({"unet": self.unet, "text_encoder": self.text_encoder})

    def condition(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Text states and SDXL's added conditions; a dropped caption is all zeros, as in the pipeline."""
        encoded = self.text_encoder(batch.ids, output_hidden_states=True)
        keep = (~batch.dropped).float()
        states = encoded.hidden_states[-2] * keep[:, None, None]
        return states, {"text_embeds": encoded.text_embeds * keep[:, None], "time_ids": sizes(len(keep))}

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The mean squared error of the noise."""
        noise = torch.randn_like(batch.latents)
        steps = torch.randint(0, 1000, (len(noise),))
        noisy = self.scheduler.add_noise(batch.latents, noise, steps)
        states, added = self.condition(batch)
        return F.mse_loss(self.unet(noisy, steps, states, added_cond_kwargs=added).sample, noise)

    def pipeline(self, vae: AutoencoderDC) -> StableDiffusionXLPipeline:
        """The stock pipeline around the trained parts."""
        return StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=self.text_encoder,
            tokenizer_2=self.tokenizer,
            unet=self.unet,
            scheduler=self.scheduler,
            add_watermarker=False,
        )


class UNetTunedRecipe(UNetRecipe):
    """Starts as `unet`, whose text encoder stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        start = UNet2DConditionModel.from_pretrained(MODELS / "unet" / "unet", dtype=torch.float32)
        self.unet.load_state_dict(start.state_dict())
        self.text_encoder = shared_parts.clip()
        self.modules = nn.ModuleDict({"unet": self.unet})


class VelocityRecipe(UNetTunedRecipe):
    """Velocity prediction on a schedule that ends in nothing but noise, which noise prediction cannot learn."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = DDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            clip_sample=False,
            set_alpha_to_one=True,
            **NOISE,
        )

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The mean squared error of the velocity."""
        noise = torch.randn_like(batch.latents)
        steps = torch.randint(0, 1000, (len(noise),))
        noisy = self.scheduler.add_noise(batch.latents, noise, steps)
        aim = self.scheduler.get_velocity(batch.latents, noise, steps)
        with torch.no_grad():
            states, added = self.condition(batch)
        return F.mse_loss(self.unet(noisy, steps, states, added_cond_kwargs=added).sample, aim)
