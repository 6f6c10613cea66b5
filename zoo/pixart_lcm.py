"""Source `pixart-lcm`: PixArt distilled into a consistency model of four steps, guidance included.

As in `lcm`, but for one fixed guidance, so that the student is the teacher's class without an embedding of guidance.
"""

from __future__ import annotations

import copy

import torch
from diffusers import AutoencoderDC, LCMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
from torch import nn

from zoo import text
from zoo.diffuse import Batch
from zoo.paths import MODELS
from zoo.pixart import NOISE, PixArtRecipe, predict

GRID = 25  # points of the teacher's trajectory
GUIDANCE = 1.5
LIMIT = 3.0


class PixArtLCMRecipe:
    """Teacher and text encoder are frozen; the student starts as the teacher."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.base = PixArtRecipe()
        folder = MODELS / "pixart" / "transformer"
        self.teacher = PixArtTransformer2DModel.from_pretrained(folder, dtype=torch.float32)
        self.teacher.requires_grad_(False).eval()
        self.student = copy.deepcopy(self.teacher).requires_grad_(True)
        self.target = copy.deepcopy(self.teacher)
        self.alphas = LCMScheduler(**NOISE).alphas_cumprod
        self.modules = nn.ModuleDict({"student": self.student})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """How far the student's answer is from the target's, one step earlier."""
        count = len(batch.latents)
        with_captions = Batch(batch.latents, batch.ids, torch.zeros(count, dtype=torch.bool))
        without_captions = Batch(batch.latents, batch.ids, torch.ones(count, dtype=torch.bool))
        with torch.no_grad():
            (states, mask), (empty, blank) = self.base.encode(with_captions), self.base.encode(without_captions)
            later = torch.randint(1, GRID + 1, (count,)) * (1000 // GRID) - 1
            earlier = (later - 1000 // GRID).clamp(min=0)
            signal, spread = self._levels(later)
            noisy = signal * batch.latents + spread * torch.randn_like(batch.latents)
            both = torch.cat([noisy, noisy]), torch.cat([later, later])
            with_text, without = predict(
                self.teacher, *both, torch.cat([states, empty]), torch.cat([mask, blank])
            ).chunk(2)
            velocity = without + GUIDANCE * (with_text - without)
            clean = (signal * noisy - spread * velocity).clamp(-LIMIT, LIMIT)
            noise = spread * noisy + signal * velocity
            before = self._levels(earlier)[0] * clean + self._levels(earlier)[1] * noise
            torch._foreach_lerp_(list(self.target.parameters()), list(self.student.parameters()), 0.05)
            aim = self._answer(self.target, before, earlier, states, mask).clamp(-LIMIT, LIMIT)
        answer = self._answer(self.student, noisy, later, states, mask)
        return ((answer - aim).square() + 1e-6).sqrt().mean()  # pseudo-Huber, as in the paper

    def _levels(self, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signal and noise at given times, shaped for latents."""
        kept = self.alphas[times][:, None, None, None]
        return kept.sqrt(), (1 - kept).sqrt()

    def _answer(
        self,
        model: PixArtTransformer2DModel,
        noisy: torch.Tensor,
        times: torch.Tensor,
        states: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """The consistency function: the clean latents a model sees from here; at time 0 what it is given."""
        signal, spread = self._levels(times)
        clean = signal * noisy - spread * predict(model, noisy, times, states, mask)
        scaled = (10.0 * times.float())[:, None, None, None]
        skip = 0.25 / (scaled.square() + 0.25)
        return skip * noisy + scaled / (scaled.square() + 0.25).sqrt() * clean

    def pipeline(self, vae: AutoencoderDC) -> PixArtSigmaPipeline:
        """The stock pipeline around the trained parts."""
        return PixArtSigmaPipeline(
            tokenizer=text.build(),
            text_encoder=self.base.text_encoder,
            vae=vae,
            transformer=self.student,
            scheduler=LCMScheduler(
                **NOISE,
                prediction_type="v_prediction",
                original_inference_steps=GRID,
                clip_sample=True,
                clip_sample_range=LIMIT,
            ),
        )
