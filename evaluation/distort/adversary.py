"""A white-box attack on the embedder: projected gradient descent away from the image's own features.

Untargeted, without knowledge of the sources. Madry et al., arXiv 1706.06083, with the cosine to the image's
own features in the loss's place. The image is first resized to the model's input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from attribution.embed.open_clip import OpenClipEmbedder
from evaluation.store import key_of

EPSILON = 4 / 255  # in every channel of every pixel
STEP = 1 / 255
STEPS = 10


def attack(
    embedder: OpenClipEmbedder, images: Sequence[Image.Image], names: Sequence[str], seed: int = 0
) -> list[Image.Image]:
    """Images of the model's own size, no channel further than four of 255 from the original.

    The start is random within that bound, from a seed of each image: at the original the cosine is greatest, and its
    gradient is zero.
    """
    original = torch.stack([embedder.shown(image) for image in images])  # (n, 3, h, w) in [0, 1]
    with torch.no_grad():
        own = torch.nn.functional.normalize(embedder.differentiable(original), dim=1)
    offsets = [
        np.random.default_rng(int(key_of("attack", name, seed), 16)).uniform(-EPSILON, EPSILON, original.shape[1:])
        for name in names
    ]
    moved = (original + torch.from_numpy(np.stack(offsets)).float()).clamp(0, 1)
    for _ in range(STEPS):
        moved.requires_grad_(True)
        cosine = (torch.nn.functional.normalize(embedder.differentiable(moved), dim=1) * own).sum()
        (gradient,) = torch.autograd.grad(cosine, moved)
        with torch.no_grad():
            moved = moved - STEP * gradient.sign()
            moved = torch.maximum(torch.minimum(moved, original + EPSILON), original - EPSILON).clamp(0, 1)
    levels = (moved * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each) for each in levels]
