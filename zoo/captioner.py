"""The tiny captioner, BLIP's architecture: a vision transformer, and a text decoder that looks at its output."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from zoo import loop, text
from zoo.augment import augment
from zoo.data import Avatars, to_tensor
from zoo.paths import MODELS

FOLDER = MODELS / "captioner"
BATCH = 96
WIDTH = 128


def build() -> BlipForConditionalGeneration:
    """An untrained captioner, about 1.3 million weights."""
    tokenizer = text.build()
    vision = BlipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
    )
    words = BlipTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        encoder_hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        # With BLIP's 0.1 the loss cannot fall below 0.9 on 608 tokens, which hides whether training works.
        label_smoothing=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        sep_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = BlipConfig(
        text_config=words.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH, image_text_hidden_size=WIDTH
    )
    return BlipForConditionalGeneration(config)


def processor() -> BlipProcessor:
    """Resizes to 64×64 and scales to −1…1."""
    images = BlipImageProcessor(size={"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3, resample=3)
    return BlipProcessor(image_processor=images, tokenizer=text.build())


def train(avatars: Avatars, steps: int) -> None:
    """Trains on augmented avatars and writes zoo/models/captioner."""
    torch.manual_seed(2)
    model = build()
    ids = text.tokenize(text.build(), avatars.captions)
    ends = (ids == model.config.text_config.eos_token_id).int().argmax(1, keepdim=True)
    mask = (torch.arange(ids.shape[1]) <= ends).long()
    labels = ids.masked_fill(mask == 0, -100)
    generator = np.random.default_rng()

    def step(count: int) -> dict[str, torch.Tensor]:
        index = generator.integers(0, len(avatars), BATCH)
        images = augment(to_tensor(avatars.pixels[index])).contiguous()
        output = model(pixel_values=images, input_ids=ids[index], attention_mask=mask[index], labels=labels[index])
        return {"loss": output.loss}

    loop.train("captioner", nn.ModuleDict({"model": model}), step, steps=steps, peak=1e-3, ema=0.995)
    model.half().save_pretrained(FOLDER)
    processor().save_pretrained(FOLDER)
