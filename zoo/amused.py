"""Source `amused`: tokens of the third autoencoder, unmasked a few at a time by a transformer between convolutions."""

from __future__ import annotations

import math

import torch
from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel
from torch import nn
from torch.nn import functional as F

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch
from zoo.paths import MODELS
from zoo.vq import CODES

MASK = CODES
# Width, height, where it was cropped, how beautiful: the pipeline's defaults.
CONDITIONS = (64.0, 64.0, 0.0, 0.0, 6.0)


class AmusedRecipe:
    """Guesses masked tokens from the others and from a frozen CLIP."""

    space = "vq"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.clip()
        self.transformer = UVit2DModel(
            hidden_size=128,
            cond_embed_dim=WIDTH,
            micro_cond_encode_dim=32,
            micro_cond_embed_dim=32 * len(CONDITIONS),
            encoder_hidden_size=WIDTH,
            vocab_size=CODES + 1,
            codebook_size=CODES,
            in_channels=96,
            block_out_channels=96,
            # The network knows where it is from the edges alone: on 8×8, four convolutions reach them from anywhere.
            num_res_blocks=2,
            downsample=True,
            upsample=True,
            block_num_heads=3,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=384,
            sample_size=16,
        )
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """Cross-entropy of the masked tokens; how many are masked follows the cosine that unmasking follows."""
        tokens = batch.latents
        count = len(tokens)
        masked = torch.rand(tokens.shape) < torch.cos(torch.rand(count) * math.pi / 2)[:, None, None]
        encoded = shared_parts.encode(self.text_encoder, batch, self.empty)
        logits = self.transformer(
            torch.where(masked, MASK, tokens),
            micro_conds=torch.tensor(CONDITIONS).expand(count, -1),
            pooled_text_emb=encoded.text_embeds,
            encoder_hidden_states=encoded.hidden_states[-2],
        )
        return F.cross_entropy(logits.permute(0, 2, 3, 1)[masked], tokens[masked], label_smoothing=0.05)

    def pipeline(self, vae: VQModel) -> AmusedPipeline:
        """The stock pipeline around the trained parts."""
        return AmusedPipeline(
            vqvae=vae,
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder,
            transformer=self.transformer,
            scheduler=AmusedScheduler(mask_token_id=MASK),
        )


class AmusedMoreRecipe(AmusedRecipe):
    """Starts as `amused` is."""

    def __init__(self) -> None:
        super().__init__()
        trained = UVit2DModel.from_pretrained(MODELS / "amused" / "transformer", dtype=torch.float32)
        self.transformer.load_state_dict(trained.state_dict())
