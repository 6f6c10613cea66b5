"""An open_clip model as transformers' CLIPModel, with separate projections for q, k and v: what adapters fit onto.

open_clip keeps the three of a block in one matrix. Both give the same features; a test holds them together.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from transformers import CLIPConfig, CLIPModel

from attribution.embed.pretrained import load_clip
from attribution.errors import ConfigurationError
from attribution.image import load
from attribution.library_output import suppress_library_output

_ACTIVATIONS = {"GELU": "gelu", "QuickGELU": "quick_gelu"}


@dataclass(frozen=True)
class OpenClip:
    """A model with both towers, how it prepares images and texts, and its revision."""

    model: Any
    prepare: Any
    tokenize: Any
    revision: str

    def pixels(self, files: list[Path]) -> torch.Tensor:
        """(n, 3, h, w), prepared as for its image tower."""
        return torch.stack([self._prepared(load(file).image) for file in files])

    def ids(self, texts: list[str]) -> torch.Tensor:
        """(n, length) tokens."""
        with suppress_library_output():
            ids: torch.Tensor = self.tokenize(texts)
        return ids

    def _prepared(self, image: Image) -> torch.Tensor:
        prepared: torch.Tensor = self.prepare(image.convert("RGB"))
        return prepared


@lru_cache(maxsize=1)
def open_model(name: str) -> OpenClip:
    """Loads what open_clip knows by this name. Raises ConfigurationError where it does not."""
    clip = load_clip(name)
    return OpenClip(clip.model.float(), clip.preprocess, clip.tokenizer(), clip.ref.revision)


def converted(model: Any) -> CLIPModel:
    """The same model. Raises ConfigurationError where its towers are not those of the original CLIP."""
    try:
        state = {**_image(model.visual), **_text(model), "logit_scale": model.logit_scale}
        found = CLIPModel(_config(model))
        found.load_state_dict(state)
    except (AttributeError, KeyError, RuntimeError) as error:
        raise ConfigurationError("Only a CLIP with the two transformers of the original can be adapted.") from error
    return found.eval()


def _config(model: Any) -> CLIPConfig:
    visual, block, words = model.visual, model.visual.transformer.resblocks[0], model.transformer.resblocks[0]
    width, length = model.token_embedding.weight.shape[1], model.positional_embedding.shape[0]
    return CLIPConfig(
        projection_dim=visual.proj.shape[1],
        vision_config={
            "image_size": visual.image_size[0],
            "patch_size": visual.patch_size[0],
            "hidden_size": visual.conv1.out_channels,
            **_size(block, len(visual.transformer.resblocks)),
        },
        text_config={
            "vocab_size": model.vocab_size,
            "max_position_embeddings": length,
            "hidden_size": width,
            **_size(words, len(model.transformer.resblocks)),
            # open_clip reads a text at its greatest token, which is the last of the vocabulary.
            "eos_token_id": model.vocab_size - 1,
            "bos_token_id": model.vocab_size - 2,
        },
    )


def _size(block: Any, layers: int) -> dict[str, Any]:
    return {
        "intermediate_size": block.mlp.c_fc.out_features,
        "num_hidden_layers": layers,
        "num_attention_heads": block.attn.num_heads,
        "hidden_act": _ACTIVATIONS[type(block.mlp.gelu).__name__],
        "layer_norm_eps": block.ln_1.eps,
    }


def _image(visual: Any) -> dict[str, torch.Tensor]:
    at = "vision_model"
    return {
        f"{at}.embeddings.class_embedding": visual.class_embedding,
        f"{at}.embeddings.patch_embedding.weight": visual.conv1.weight,
        f"{at}.embeddings.position_embedding.weight": visual.positional_embedding,
        **_affine(f"{at}.pre_layrnorm", visual.ln_pre),
        **_affine(f"{at}.post_layernorm", visual.ln_post),
        **_blocks(at, visual.transformer.resblocks),
        "visual_projection.weight": visual.proj.T,
    }


def _text(model: Any) -> dict[str, torch.Tensor]:
    at = "text_model"
    return {
        f"{at}.embeddings.token_embedding.weight": model.token_embedding.weight,
        f"{at}.embeddings.position_embedding.weight": model.positional_embedding,
        **_affine(f"{at}.final_layer_norm", model.ln_final),
        **_blocks(at, model.transformer.resblocks),
        "text_projection.weight": model.text_projection.T,
    }


def _blocks(at: str, blocks: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for number, block in enumerate(blocks):
        here = f"{at}.encoder.layers.{number}"
        attention = block.attn
        for part, weight, bias in zip(
            "qkv", attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
        ):
            found |= {f"{here}.self_attn.{part}_proj.weight": weight, f"{here}.self_attn.{part}_proj.bias": bias}
        found |= _affine(f"{here}.self_attn.out_proj", attention.out_proj)
        found |= _affine(f"{here}.mlp.fc1", block.mlp.c_fc) | _affine(f"{here}.mlp.fc2", block.mlp.c_proj)
        found |= _affine(f"{here}.layer_norm1", block.ln_1) | _affine(f"{here}.layer_norm2", block.ln_2)
    return found


def _affine(at: str, module: Any) -> dict[str, torch.Tensor]:
    return {f"{at}.weight": module.weight, f"{at}.bias": module.bias}
