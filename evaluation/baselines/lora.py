"""CLIP-LoRA (Zanella & Ben Ayed, arXiv 2405.18541): low-rank adapters in both towers of a CLIP, class names as texts.

The paper's fixed hyper-parameters, as its code has them: rank 2, alpha 1 (scaled by the root of the rank), dropout 0.25
on q, k and v of every block; AdamW at 2·10⁻⁴ with decay 0.01, cosine down to 10⁻⁶, batches of 32, 500 steps a shot.
Two things differ. Steps are capped, and the rate is raised by what the cap takes, up to 10⁻²: at its own, nothing is
learned in so few. And images are not augmented: the paper crops and mirrors photographs of objects, but sources differ
in single pixels, and an enlarged crop removes that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional as F

from attribution.errors import ConfigurationError
from attribution.library_output import suppress_library_output
from evaluation.baselines.baseline import Floats, Images, Sight, versions
from evaluation.baselines.openclip import converted, open_model
from evaluation.baselines.training import Schedule, train

_RANK, _ALPHA, _DROPOUT = 2, 1, 0.25
_PARTS = ("q_proj", "k_proj", "v_proj")
_SCALE = 100.0  # of the cosines, before the softmax
_STEPS_A_SHOT = 500
_RATE_AT_MOST = 1e-2
_SCHEDULE = Schedule(2e-4, 32, 0.01, "cosine_with_min_lr", {"min_lr": 1e-6})


@dataclass(frozen=True)
class ClipLora:
    """Adapters for the CLIP of an open_clip name."""

    clip: str
    most: int = 150
    device: str = "cpu"
    name = "CLIP-LoRA"
    sees = frozenset({Sight.PIXELS})
    grid = (1, 5, 10, 80)
    comparable = True

    @property
    def setting(self) -> Mapping[str, Any]:
        """The paper's, and the cap."""
        return {
            "weights": open_model(self.clip).revision,
            "rank": _RANK,
            "alpha": _ALPHA,
            "scaled_by": "root of the rank",
            "dropout": _DROPOUT,
            "adapted": list(_PARTS),
            "towers": "both",
            "scale": _SCALE,
            "steps_a_shot": _STEPS_A_SHOT,
            "steps_at_most": self.most,
            "rate_at_most": _RATE_AT_MOST,
            "augmentation": None,
            **_SCHEDULE.setting,
            "libraries": versions("peft", "torch", "transformers"),
        }

    def steps(self, shots: int, sources: int) -> int | None:
        """By shots, capped."""
        return min(_STEPS_A_SHOT * shots, self.most)

    def schedule(self, shots: int) -> Schedule:
        """The paper's where all its steps are taken."""
        raised = _SCHEDULE.rate * max(1.0, _STEPS_A_SHOT * shots / self.most)
        return replace(_SCHEDULE, rate=min(raised, _RATE_AT_MOST))

    def scores(self, shots: Images, queries: Images, seed: int) -> Floats:
        """Cosines to the texts, scaled."""
        opened = open_model(self.clip)
        texts = opened.ids(prompts(shots.sources))
        if len(set(map(tuple, texts.tolist()))) < len(texts):
            raise ConfigurationError(f"{self.clip} has equal tokens for the names of two of these sources.")
        torch.manual_seed(seed)
        adapters = LoraConfig(
            r=_RANK, lora_alpha=_ALPHA, use_rslora=True, lora_dropout=_DROPOUT, target_modules=list(_PARTS)
        )
        with suppress_library_output():
            model = _Adapted(get_peft_model(converted(opened.model), adapters), texts)
        pixels, labels = opened.pixels(shots.paths), torch.from_numpy(shots.truth)
        n = shots.shape[1]
        train(model, pixels, labels, self.schedule(n), min(_STEPS_A_SHOT * n, self.most), seed, self.device)
        with torch.inference_mode():
            found = model(opened.pixels(queries.paths))["logits"]
        return np.asarray(found.numpy(), np.float64)


def prompts(sources: tuple[str, ...]) -> list[str]:
    """A source's id in words. The small CLIP knows none of them as words and reads them letter by letter."""
    return [source.replace("-", " ").replace("_", " ") for source in sources]


class _Adapted(nn.Module):
    """A CLIP that classifies images by its own texts of the classes."""

    def __init__(self, clip: Any, texts: torch.Tensor) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("texts", texts)

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        images = F.normalize(self.clip.get_image_features(pixels).pooler_output, dim=-1)
        texts = F.normalize(self.clip.get_text_features(self.texts).pooler_output, dim=-1)
        logits = _SCALE * images @ texts.T
        return {"logits": logits} if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}
