"""The frozen text encoder that several sources share, as real generators share CLIP: that of `unet`.

`mmdit`'s T5 was tried instead: in 600 steps, colors and nouns were not separated well enough.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from zoo.diffuse import Batch
from zoo.paths import MODELS

Model = TypeVar("Model", bound=torch.nn.Module)


def clip() -> CLIPTextModelWithProjection:
    """`unet`'s text encoder. It looks backwards only, so that padding changes nothing before it."""
    return _frozen(CLIPTextModelWithProjection.from_pretrained(MODELS / "unet" / "text_encoder_2", dtype=torch.float32))


def plain_clip() -> CLIPTextModel:
    """The same without its projection, the class that some pipelines need."""
    return _frozen(CLIPTextModel.from_pretrained(MODELS / "unet" / "text_encoder_2", dtype=torch.float32))


def ids_and_mask(batch: Batch, tokenizer: CLIPTokenizer, empty: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The captions' ids, those dropped being empty, and which of them the pipelines' tokenizer calls real."""
    ids = torch.where(batch.dropped[:, None], empty, batch.ids)
    lengths = (ids == tokenizer.eos_token_id).int().argmax(1) + 1
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()


@torch.no_grad()
def encode(text_encoder: CLIPTextModel | CLIPTextModelWithProjection, batch: Batch, empty: torch.Tensor) -> Any:
    """The text encoder's output, with all hidden states, for the batch's captions; a dropped caption is empty."""
    return text_encoder(torch.where(batch.dropped[:, None], empty, batch.ids), output_hidden_states=True)


def _frozen(model: Model) -> Model:
    return model.requires_grad_(False).eval()
