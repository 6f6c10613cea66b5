"""Sources `pixart`, a transformer with cross-attention sampled by DPM-Solver++, and `pixart-lcm`, distilled from it.

It predicts velocity. With noise prediction, as PixArt has it, 700 steps were not enough to follow a caption: near pure
noise, where captions matter, the error of the noise is almost zero.
"""

from __future__ import annotations

import copy

import torch
from diffusers import (
    AutoencoderDC,
    DPMSolverMultistepScheduler,
    LCMScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from torch import nn
from torch.nn import functional as F

from zoo import shared_parts, text
from zoo.diffuse import WIDTH, Batch
from zoo.lcm import consistent, levels
from zoo.paths import MODELS

NOISE = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


def build() -> PixArtTransformer2DModel:
    """An untrained transformer on patches of 2×2 latents."""
    return PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=8,
        out_channels=8,
        num_layers=5,
        cross_attention_dim=128,
        sample_size=8,
        patch_size=2,
        caption_channels=WIDTH,
        use_additional_conditions=False,
        interpolation_scale=1,
    )


class PixArtRecipe:
    """Velocity prediction; a frozen CLIP in T5's place."""

    space = "autoencoder"

    def __init__(self) -> None:
        self.tokenizer = text.build()
        self.text_encoder = shared_parts.plain_clip()
        self.transformer = build()
        self.scheduler = DPMSolverMultistepScheduler(
            **NOISE, prediction_type="v_prediction", timestep_spacing="trailing", final_sigmas_type="zero"
        )
        self.alphas = self.scheduler.alphas_cumprod
        self.empty = text.tokenize(self.tokenizer, [""])[0]
        self.modules = nn.ModuleDict({"transformer": self.transformer})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """The mean squared error of the velocity."""
        noise = torch.randn_like(batch.latents)
        steps = torch.randint(0, 1000, (len(noise),))
        signal, spread = levels(self.alphas, steps)
        states, mask = self.encode(batch)
        output = predict(self.transformer, signal * batch.latents + spread * noise, steps, states, mask)
        return F.mse_loss(output, signal * noise - spread * batch.latents)

    @torch.no_grad()
    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Text states and which of them are real."""
        ids, mask = shared_parts.ids_and_mask(batch, self.tokenizer, self.empty)
        return self.text_encoder(ids, attention_mask=mask)[0], mask

    def pipeline(self, vae: AutoencoderDC) -> PixArtSigmaPipeline:
        """The stock pipeline around the trained parts."""
        return PixArtSigmaPipeline(
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder,
            vae=vae,
            transformer=self.transformer,
            scheduler=self.scheduler,
        )


def predict(
    model: PixArtTransformer2DModel, noisy: torch.Tensor, steps: torch.Tensor, states: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The velocity that the transformer sees."""
    output: torch.Tensor = model(
        noisy,
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        timestep=steps,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        return_dict=False,
    )[0]
    return output


GRID = 25  # points of the teacher's trajectory
GUIDANCE = 1.5
LIMIT = 3.0


class PixArtLCMRecipe:
    """Distilled as `lcm` is, into four steps, but for one fixed guidance. The student starts as the teacher.

    It is of the teacher's class, without an embedding of guidance. Teacher and text encoder are frozen.
    """

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
            signal, spread = levels(self.alphas, later)
            noisy = signal * batch.latents + spread * torch.randn_like(batch.latents)
            both = torch.cat([noisy, noisy]), torch.cat([later, later])
            with_text, without = predict(
                self.teacher, *both, torch.cat([states, empty]), torch.cat([mask, blank])
            ).chunk(2)
            velocity = without + GUIDANCE * (with_text - without)
            clean = (signal * noisy - spread * velocity).clamp(-LIMIT, LIMIT)
            noise = spread * noisy + signal * velocity
            before = levels(self.alphas, earlier)[0] * clean + levels(self.alphas, earlier)[1] * noise
            torch._foreach_lerp_(list(self.target.parameters()), list(self.student.parameters()), 0.05)
            aim = self._answer(self.target, before, earlier, states, mask).clamp(-LIMIT, LIMIT)
        answer = self._answer(self.student, noisy, later, states, mask)
        return ((answer - aim).square() + 1e-6).sqrt().mean()  # pseudo-Huber, as in the paper

    def _answer(
        self,
        model: PixArtTransformer2DModel,
        noisy: torch.Tensor,
        times: torch.Tensor,
        states: torch.Tensor,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """The consistency function: the clean latents a model sees from here; at time 0 what it is given."""
        signal, spread = levels(self.alphas, times)
        return consistent(noisy, signal * noisy - spread * predict(model, noisy, times, states, mask), times)

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
