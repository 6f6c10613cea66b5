"""Source `mmdit`: a transformer of two streams, then one, with flow matching and T5: AuraFlow's architecture."""

from __future__ import annotations

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    FlowMatchEulerDiscreteScheduler,
)
from torch import nn
from torch.nn import functional as F
from transformers import UMT5Config, UMT5EncoderModel

from zoo import text
from zoo.diffuse import WIDTH, Batch, add_noise
from zoo.paths import MODELS

PADDED = 256  # the pipeline pads prompts to this length by default, and nothing masks the padding in attention


class MMDiTRecipe:
    """The transformer predicts noise minus data at the noise level."""

    space = "autoencoder"
    # Padding makes a step four times slower: only the last part of the training has it, enough to learn it.
    padded_from = 0.75

    def __init__(self) -> None:
        self.tokenizer = text.build()
        config = UMT5Config(
            vocab_size=len(self.tokenizer),
            d_model=WIDTH,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
        )
        self.text_encoder = UMT5EncoderModel(config)
        self.transformer = AuraFlowTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=8,
            out_channels=8,
            num_mmdit_layers=1,
            num_single_dit_layers=4,
            attention_head_dim=32,
            num_attention_heads=4,
            joint_attention_dim=WIDTH,
            caption_projection_dim=128,
            pos_embed_max_size=16,
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer, "text_encoder": self.text_encoder})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The flow's mean squared error, on half the batch once there is padding."""
        if share > self.padded_from:
            batch = Batch(*(part[: len(part) // 2] for part in (batch.latents, batch.ids, batch.dropped)))
        noise, sigma, noisy = add_noise(batch.latents)
        ids = torch.where(batch.dropped[:, None], self.empty, batch.ids)
        lengths = (ids == self.tokenizer.eos_token_id).int().argmax(1) + 1
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).float()
        states = self.text_encoder(ids, attention_mask=mask)[0] * mask[:, :, None]
        if share > self.padded_from:
            states = F.pad(states, (0, 0, 0, PADDED - states.shape[1]))
        output = self.transformer(noisy, states, sigma, return_dict=False)[0]
        return F.mse_loss(output, noise - batch.latents)

    def pipeline(self, vae: AutoencoderDC) -> AuraFlowPipeline:
        """The stock pipeline around the trained parts."""
        return AuraFlowPipeline(
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder,
            vae=vae,
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        )


class MMDiTTunedRecipe(MMDiTRecipe):
    """`mmdit-tuned`: starts as `mmdit`, trained on with other avatars. So is its text encoder: backgrounds needed it.

    Prompts have 24 tokens, so there is no padding to learn: generation takes a quarter of the time.
    """

    padded_from = 1.0

    def __init__(self) -> None:
        super().__init__()
        folder = MODELS / "mmdit"
        transformer = AuraFlowTransformer2DModel.from_pretrained(folder / "transformer", dtype=torch.float32)
        self.transformer.load_state_dict(transformer.state_dict())
        text_encoder = UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.text_encoder.load_state_dict(text_encoder.state_dict())
