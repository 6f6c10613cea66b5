"""Source `lcm`: the UNet distilled into a latent consistency model of few steps, a close relative of `unet`.

Latent Consistency Models, Luo et al. 2023 (arXiv 2310.04378): the student's answer at one point of a guided DDIM
trajectory must be its answer at the point before.
"""

from __future__ import annotations

import copy

import torch
from diffusers import AutoencoderDC, DiffusionPipeline, LCMScheduler, StableDiffusionXLPipeline
from torch import nn

from zoo import diffuse
from zoo.data import Avatars
from zoo.diffuse import Batch
from zoo.paths import MODELS
from zoo.unet import CLIP, NOISE, build, sizes

GRID = 25  # points of the teacher's trajectory
GUIDED = 64  # width of the guidance embedding
LIMIT = CLIP["clip_sample_range"]
WEIGHTS = (1.0, 3.0)  # guidance scale minus one, as the pipeline counts it


def levels(alphas: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Signal and noise at given times, shaped for latents."""
    kept = alphas[times][:, None, None, None]
    return kept.sqrt(), (1 - kept).sqrt()


def consistent(noisy: torch.Tensor, clean: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """The consistency function's answer from a model's guess of the clean latents; at time 0 what it is given."""
    scaled = (10.0 * times.float())[:, None, None, None]
    skip = 0.25 / (scaled.square() + 0.25)
    return skip * noisy + scaled / (scaled.square() + 0.25).sqrt() * clean


class LCMRecipe:
    """Teacher and text encoder are frozen; the student starts as the teacher."""

    space = "autoencoder"

    def __init__(self) -> None:
        source = DiffusionPipeline.from_pretrained(MODELS / "unet", dtype=torch.float32)
        self.tokenizer = source.tokenizer_2
        self.text_encoder = source.text_encoder_2.requires_grad_(False).eval()
        self.teacher = source.unet.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        self.student = build(GUIDED).to(memory_format=torch.channels_last)
        self.student.load_state_dict(self.teacher.state_dict(), strict=False)
        self.target = copy.deepcopy(self.student).requires_grad_(False)
        self.alphas = LCMScheduler(**{**NOISE, "timestep_spacing": "leading"}).alphas_cumprod
        self.pipe = source
        self.modules = nn.ModuleDict({"student": self.student})

    def loss(self, batch: Batch, share: float) -> torch.Tensor:
        """How far the student's answer is from the target's, one step earlier."""
        count = len(batch.latents)
        with torch.no_grad():
            encoded = self.text_encoder(batch.ids, output_hidden_states=True)
            states, pooled = encoded.hidden_states[-2], encoded.text_embeds
            later = torch.randint(1, GRID + 1, (count,)) * (1000 // GRID) - 1
            earlier = (later - 1000 // GRID).clamp(min=0)
            noisy = self._mix(batch.latents, torch.randn_like(batch.latents), later)
            weight = WEIGHTS[0] + (WEIGHTS[1] - WEIGHTS[0]) * torch.rand(count)
            before = self._teach(noisy, later, earlier, weight, states, pooled)
            guidance = self.pipe.get_guidance_scale_embedding(weight, GUIDED)
            self._follow()
            aim = self._answer(self.target, before, earlier, guidance, states, pooled).clamp(-LIMIT, LIMIT)
        answer = self._answer(self.student, noisy, later, guidance, states, pooled)
        # Pseudo-Huber, as in the paper. Weighted by the signal's share, because an error in the noise is divided by it.
        return (((answer - aim).square() + 1e-6).sqrt() * levels(self.alphas, later)[0]).mean()

    def _follow(self) -> None:
        """The target trails the student."""
        with torch.no_grad():
            torch._foreach_lerp_(list(self.target.parameters()), list(self.student.parameters()), 0.05)

    def _mix(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        signal, spread = levels(self.alphas, times)
        return signal * clean + spread * noise

    def _teach(
        self,
        noisy: torch.Tensor,
        later: torch.Tensor,
        earlier: torch.Tensor,
        weight: torch.Tensor,
        states: torch.Tensor,
        pooled: torch.Tensor,
    ) -> torch.Tensor:
        """One guided DDIM step of the teacher."""
        both = torch.cat([states, torch.zeros_like(states)])
        added = {
            "text_embeds": torch.cat([pooled, torch.zeros_like(pooled)]),
            "time_ids": sizes(2 * len(noisy)),
        }
        output = self.teacher(torch.cat([noisy, noisy]), torch.cat([later, later]), both, added_cond_kwargs=added)
        conditional, unconditional = output.sample.chunk(2)
        noise = conditional + weight[:, None, None, None] * (conditional - unconditional)
        signal, spread = levels(self.alphas, later)
        clean = ((noisy - spread * noise) / signal).clamp(-LIMIT, LIMIT)
        return self._mix(clean, noise, earlier)

    def _answer(
        self,
        model: nn.Module,
        noisy: torch.Tensor,
        times: torch.Tensor,
        guidance: torch.Tensor,
        states: torch.Tensor,
        pooled: torch.Tensor,
    ) -> torch.Tensor:
        """The consistency function: the clean latents a model sees from here; at time 0 what it is given."""
        added = {"text_embeds": pooled, "time_ids": sizes(len(noisy))}
        output = model(noisy, times, states, timestep_cond=guidance, added_cond_kwargs=added)
        noise: torch.Tensor = output.sample
        signal, spread = levels(self.alphas, times)
        return consistent(noisy, (noisy - spread * noise) / signal, times)

    def pipeline(self, vae: AutoencoderDC) -> StableDiffusionXLPipeline:
        """The stock pipeline around the trained parts."""
        return StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=self.text_encoder,
            tokenizer_2=self.tokenizer,
            unet=self.student,
            scheduler=LCMScheduler(**CLIP, **{**NOISE, "timestep_spacing": "leading"}),
            add_watermarker=False,
        )


def train(avatars: Avatars, steps: int) -> None:
    """Distils for that many steps and writes zoo/models/lcm."""
    diffuse.train("lcm", LCMRecipe(), avatars, steps=steps, peak=3e-4, size=48)
