"""A distortion with random parameters for every image, from a seed of image and distortion."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from evaluation.store import key_of

Dice = np.random.Generator
Apply = Callable[[Image, Dice], Image]


@dataclass(frozen=True, slots=True)
class Distortion:
    """An RGB image in, an RGB image out; `parameters` describes the random parameters, uniform unless named otherwise.

    `family` is where it comes from: "R" for the published scripts of arXiv 2510.24278, "G" for arXiv 2403.01489,
    "same" for a copy that people consider the same image.
    """

    name: str
    family: str
    parameters: str
    apply: Apply


def distort(distortion: Distortion, image: Image, sha256: str, seed: int = 0) -> Image:
    """The image, whose file has that hash, distorted: always in the same way for the same seed."""
    dice = np.random.default_rng(int(key_of("distortion", distortion.name, sha256, seed), 16))
    return distortion.apply(image, dice).convert("RGB")
