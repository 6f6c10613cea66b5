"""The training images of all demo models: avatars of the training captions, rendered once and cached."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from zoo.captions import Split, faces
from zoo.paths import WORK
from zoo.render import STYLES, Plan, can_render, render

PER_STYLE = 3400
CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Avatars:
    """Rendered avatars. `styles` indexes render.STYLES and only decides a source's training mix."""

    pixels: NDArray[np.uint8]  # (n, 64, 64, 3)
    captions: list[str]
    styles: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.captions)


def plans(per_style: int = PER_STYLE, split: Split = Split.TRAIN, seed: int = 1) -> list[Plan]:
    """`per_style` avatars in every style, each of a random caption of the split."""
    rng = random.Random(seed)
    pool = list(faces(split))
    result = []
    for style in STYLES:
        able = [face for face in pool if can_render(style, face)]
        result += [Plan(style, rng.choice(able), f"{split}-{seed}-{style}-{index}") for index in range(per_style)]
    return result


def training_avatars() -> Avatars:
    """Renders the training set, or reads it from the cache."""
    cache = WORK / "avatars.npy"
    wanted = plans()
    if not cache.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        parts = [render(wanted[start : start + CHUNK]) for start in range(0, len(wanted), CHUNK)]
        partial = cache.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(parts))
        partial.rename(cache)
    pixels = np.load(cache)
    if len(pixels) != len(wanted):
        raise RuntimeError(f"{cache} holds {len(pixels)} avatars, expected {len(wanted)}: remove it")
    styles = np.array([STYLES.index(plan.style) for plan in wanted])
    return Avatars(pixels, [plan.face.caption for plan in wanted], styles)


def to_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(n, 64, 64, 3) bytes to (n, 3, 64, 64) floats in −1…1, channels last in memory."""
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return batch.contiguous(memory_format=torch.channels_last)


def to_pixels(batch: torch.Tensor) -> NDArray[np.uint8]:
    """The reverse of `to_tensor`, clipping what lies outside."""
    scaled = batch.clamp(-1, 1).add(1).mul(127.5).round().byte()
    return np.asarray(scaled.permute(0, 2, 3, 1).numpy())


def sheet(images: Sequence[NDArray[np.uint8]], columns: int, zoom: int = 2) -> Image.Image:
    """Pastes images of one size in rows, enlarged without smoothing."""
    blank = [np.zeros_like(images[0])] * (-len(images) % columns)
    cells = [*images, *blank]
    rows = [np.concatenate(cells[start : start + columns], 1) for start in range(0, len(cells), columns)]
    picture = Image.fromarray(np.concatenate(rows))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
