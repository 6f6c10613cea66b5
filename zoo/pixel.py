"""Source `pixel`: no autoencoder. A transformer on 8×8 pixels predicts the clean image: PRX's architecture."""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
from torch import nn

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch, add_noise
from zoo.paths import MODELS

SCALE = 2.0  # of the initial noise: neighboring pixels are alike, and with less noise they would show the image at once
NEAREST = 0.2  # the pipeline divides by the noise level; the loss by none below this, where little is left to learn


class PixelRecipe:
    """The network predicts the image; the loss is that of the velocity that the pipeline derives from it."""

    space = "pixels"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.plain_clip()
        self.transformer = PRXTransformer2DModel(
            in_channels=3,
            patch_size=8,
            context_in_dim=WIDTH,
            hidden_size=128,
            mlp_ratio=3.0,
            num_heads=4,
            depth=6,
            axes_dim=[16, 16],
            bottleneck_size=64,
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The velocity's squared error, less heavy where little noise is left."""
        _, sigma, noisy = add_noise(batch.latents, SCALE)
        with torch.no_grad():
            ids, mask = shared_parts.ids_and_mask(batch, self.tokenizer, self.empty)
            states = self.text_encoder(ids, attention_mask=mask)[0]
        clean = self.transformer(noisy, sigma, states, attention_mask=mask.bool(), return_dict=False)[0]
        error = (clean - batch.latents).square().mean((1, 2, 3))
        weighted: torch.Tensor = error / sigma.clamp(min=NEAREST).square()
        return weighted.mean()

    def pipeline(self, vae: None) -> PRXPixelPipeline:
        """The stock pipeline around the trained parts."""
        return PRXPixelPipeline(
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            default_sample_size=64,
            prompt_max_tokens=text.LENGTH,
            noise_scale=SCALE,
        )


class PixelMoreRecipe(PixelRecipe):
    """Starts as `pixel` is."""

    def __init__(self) -> None:
        super().__init__()
        trained = PRXTransformer2DModel.from_pretrained(MODELS / "pixel" / "transformer", dtype=torch.float32)
        self.transformer.load_state_dict(trained.state_dict())
