"""What may happen to an image on its way, as tensor operations on a batch: resizing, shifts, blur, noise, blocks.

Blocks of 8×8 with quantized cosine coefficients stand for JPEG: real encoding costs more than the whole training step.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def augment(images: torch.Tensor) -> torch.Tensor:
    """(n, 3, 64, 64) in −1…1, changed at random; eight neighbors share the kind of change."""
    pieces = [_one(piece) for piece in images.split(8)]
    return torch.cat(pieces)


def _one(images: torch.Tensor) -> torch.Tensor:
    images = _move(images)
    kind = int(torch.randint(0, 6, ()))
    if kind == 0:
        size = int(torch.randint(28, 56, ()))
        small = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        images = F.interpolate(small, size=(64, 64), mode="bicubic")
    elif kind == 1:
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    elif kind in (2, 3):
        images = _quantize(images, strength=0.02 + 0.25 * float(torch.rand(())))
    elif kind == 4:
        images = images + 0.15 * float(torch.rand(())) * torch.randn_like(images)
    count = len(images)
    gain = 1 + 0.1 * torch.randn(count, 1, 1, 1)
    shift = 0.05 * torch.randn(count, 1, 1, 1)
    return (images * gain + shift).clamp(-1, 1)


def _move(images: torch.Tensor) -> torch.Tensor:
    """Shifts by up to three pixels, scales by up to eight per cent. Never mirrors: where a face looks is style."""
    count = len(images)
    scale = 1 + 0.08 * (2 * torch.rand(count) - 1)
    offset = 0.09 * (2 * torch.rand(count, 2) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = offset
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _cosines() -> torch.Tensor:
    """The orthonormal 8-point discrete cosine transform."""
    row = torch.arange(8.0)
    table = torch.cos(math.pi / 8 * (row[None] + 0.5) * row[:, None]) * math.sqrt(2 / 8)
    table[0] /= math.sqrt(2)
    return table


def _quantize(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Rounds each block's cosine coefficients, the finer ones more coarsely."""
    table = _cosines()
    blocks = images.unfold(2, 8, 8).unfold(3, 8, 8)  # (n, 3, 8, 8, 8, 8)
    spectrum = table @ blocks @ table.T
    step = strength * (1 + torch.arange(8.0)[:, None] + torch.arange(8.0)[None])
    rounded = table.T @ ((spectrum / step).round() * step) @ table
    return rounded.permute(0, 1, 2, 4, 3, 5).reshape(images.shape)
