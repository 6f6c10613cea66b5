"""A distortion draws its parameters anew for every picture, from a seed that picture and distortion make."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from benchmark.store import key_of

Dice = np.random.Generator
Apply = Callable[[Image, Dice], Image]


@dataclass(frozen=True, slots=True)
class Distortion:
    """An RGB picture in, an RGB picture out; `parameters` says in words what is drawn, evenly where nothing is said.

    `family` is where it comes from: "R" for the published scripts of arXiv 2510.24278, "G" for arXiv 2403.01489,
    "same" for a copy that people would call the same picture.
    """

    name: str
    family: str
    parameters: str
    apply: Apply


def distort(distortion: Distortion, image: Image, sha256: str, seed: int = 0) -> Image:
    """The picture, whose file has that hash, distorted: always in the same way for the same seed."""
    dice = np.random.default_rng(int(key_of("distortion", distortion.name, sha256, seed), 16))
    return distortion.apply(image, dice).convert("RGB")
