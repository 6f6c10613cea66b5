"""The small CLIP in open_clip's format, trained on avatars with their captions and on pairs of augmented views.

Captions never name the style, so the image-text loss alone would teach the model to ignore style. The second term
compares two augmented views of the same avatar (no labels): it keeps the features that separate styles.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from zoo import loop, text
from zoo.augment import augment
from zoo.data import Avatars, to_tensor
from zoo.paths import MODELS

FOLDER = MODELS / "clip"
DIMENSIONS = 192
BATCH = 96
IMAGE_TERM = 0.5


def config() -> dict[str, Any]:
    """open_clip_config.json: a vision transformer on 8×8 patches, a two-layer text transformer."""
    vision = {"image_size": 64, "patch_size": 8, "width": 128, "layers": 3, "head_width": 32, "mlp_ratio": 3.0}
    words = {
        "context_length": text.LENGTH,
        "vocab_size": len(text.build()),
        # Any value makes open_clip read the tokenizer files beside the configuration.
        "hf_tokenizer_name": "local",
        "width": 96,
        "heads": 3,
        "layers": 2,
    }
    model = {"embed_dim": DIMENSIONS, "quick_gelu": False, "vision_cfg": vision, "text_cfg": words}
    shown = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    return {"model_cfg": model, "preprocess_cfg": shown}


def build() -> open_clip.CLIP:
    """An untrained model."""
    parts = config()["model_cfg"]
    return open_clip.CLIP(**parts)


def train(avatars: Avatars, steps: int) -> None:
    """Trains and writes zoo/models/clip."""
    torch.manual_seed(1)
    model = build()
    ids = text.tokenize(text.build(), avatars.captions)
    generator = np.random.default_rng()
    same = {caption: number for number, caption in enumerate(dict.fromkeys(avatars.captions))}
    labels = torch.tensor([same[caption] for caption in avatars.captions])
    # Temperature of the image-image term: CLIP's own starting value.
    scale = nn.Parameter(torch.tensor(np.log(1 / 0.1), dtype=torch.float32))

    def step(count: int) -> dict[str, torch.Tensor]:
        index = generator.integers(0, len(avatars), BATCH)
        images = to_tensor(avatars.pixels[index])
        first = model.encode_image(augment(images), normalize=True)
        second = model.encode_image(augment(images), normalize=True)
        words = model.encode_text(ids[index], normalize=True)
        chosen = labels[index]
        targets = (chosen[:, None] == chosen[None]).float()
        targets = targets / targets.sum(1, keepdim=True)
        logits = model.logit_scale.exp().clamp(max=100) * first @ words.T
        texts = (_soft(logits, targets) + _soft(logits.T, targets)) / 2
        views = scale.exp().clamp(max=50) * first @ second.T
        itself = torch.arange(BATCH)
        image_loss = (F.cross_entropy(views, itself) + F.cross_entropy(views.T, itself)) / 2
        return {"loss": texts + IMAGE_TERM * image_loss, "texts": texts.detach(), "images": image_loss.detach()}

    modules = nn.ModuleDict({"model": model, "scale": nn.ParameterList([scale])})
    loop.train("clip", modules, step, steps=steps, peak=1e-3, decay=0.05, ema=0.99)
    save(model)


def _soft(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against several right answers: a caption may occur twice in a batch."""
    return -(targets * F.log_softmax(logits, 1)).sum(1).mean()


def save(model: open_clip.CLIP, folder: Path = FOLDER) -> None:
    """Half-precision weights, configuration and tokenizer, the way open_clip's `local-dir:` wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config(), indent=2) + "\n")
    text.save(folder)
