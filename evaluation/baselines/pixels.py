"""Images as the networks that see pixels get them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torchvision.transforms.functional import pil_to_tensor

from attribution.image import load


def pictures(files: Sequence[Path], size: int) -> torch.Tensor:
    """(n, 3, size, size) in [0, 1]."""
    images = [load(file).image.convert("RGB") for file in files]
    resized = [image if image.size == (size, size) else image.resize((size, size)) for image in images]
    return torch.stack([pil_to_tensor(image) for image in resized]).float() / 255
