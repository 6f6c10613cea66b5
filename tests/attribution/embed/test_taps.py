"""Taps: open_clip's and the fake's, against what the blocks themselves return."""

import json
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from attribution.build import Placement, build_embedder
from attribution.embed.fake import FakeEmbedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.embed.taps import default_blocks
from attribution.errors import ConfigurationError
from attribution.ports import Embedder, Vectors
from tests.attribution.embed.conftest import CONFIG, PREPROCESS

CLIP = Path(__file__).parents[3] / "zoo/models/clip"
NOISE = np.random.default_rng(0).integers(0, 256, (7, 40, 50, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in NOISE]
_VISION: dict[str, Any] = dict(CONFIG["vision_cfg"])  # type: ignore[call-overload]
TIMM = {"timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear", "image_size": 32}
# Towers, and how many tokens stand before those of their patches.
VITS: dict[str, tuple[dict[str, Any], int]] = {
    "own": ({**_VISION, "layers": 5}, 1),
    "own, pooled by attention": (
        {**_VISION, "layers": 5, "attentional_pool": True, "attn_pooler_heads": 4},
        1,
    ),
    "timm": ({**TIMM, "timm_model_name": "test_vit", "timm_pool": "token", "image_size": 160}, 1),
    "timm, a register token": ({**TIMM, "timm_model_name": "test_vit2", "timm_pool": "avg", "image_size": 160}, 1),
    "timm, patches only": (
        {**TIMM, "timm_model_name": "test_vit_relpos", "timm_pool": "avg", "image_size": 160},
        0,
    ),
}
OTHERS: dict[str, dict[str, Any]] = {
    "ResNet": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "ConvNeXt": {**TIMM, "timm_model_name": "test_convnext"},
}


def written(directory: Path, vision: dict[str, Any]) -> str:
    """The name of a CLIP with random weights and this tower."""
    config = {**CONFIG, "vision_cfg": vision}
    torch.manual_seed(0)
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    save_file(open_clip.model.CLIP(**config).state_dict(), directory / "open_clip_model.safetensors")
    return f"local-dir:{directory}"


def blocks_of(embedder: OpenClipEmbedder) -> torch.nn.ModuleList:
    """The tower's blocks."""
    visual: Any = embedder._tower.visual
    return visual.trunk.blocks if hasattr(visual, "trunk") else visual.transformer.resblocks


def tokens_of(embedder: OpenClipEmbedder, image: Image.Image, at: list[int]) -> list[torch.Tensor]:
    """What the blocks `at` (counted from 1) return for one image: (tokens, d) each, by hooks on them."""
    caught: list[torch.Tensor] = []
    hooks = [blocks_of(embedder)[block - 1].register_forward_hook(lambda *call: caught.append(call[2])) for block in at]
    embedder.embed([image])
    for hook in hooks:
        hook.remove()
    return [tokens[0] for tokens in caught]


def slow_taps(embedder: OpenClipEmbedder, images: list[Image.Image], at: list[int], before: int) -> Vectors:
    """Taps number by number; `before` tokens stand before those of the patches."""
    rows = []
    for image in images:
        row: list[float] = []
        for tokens in tokens_of(embedder, image, at):
            columns = list(zip(*tokens[before:].tolist(), strict=True))
            means = [fsum(column) / len(column) for column in columns]
            row += means
            row += [
                sqrt(fsum((each - mean) ** 2 for each in column) / len(column))
                for mean, column in zip(means, columns, strict=True)
            ]
        rows.append(row)
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (3, 6)), (24, (6, 12)), (3, (1, 2)), (5, (2, 3)), (1, (1,)), (2, (1,))]
)
def test_taps_are_at_a_quarter_and_a_half(depth: int, blocks: tuple[int, ...]) -> None:
    """Rounded up, and one block where both are the same."""
    assert default_blocks(depth) == blocks


def test_the_demo_clips_taps_are_what_its_blocks_return() -> None:
    """Means and standard deviations over the 64 patches behind blocks 1 and 2 of 3, equal to a slow reference."""
    embedder = OpenClipEmbedder(f"local-dir:{CLIP}", batch_size=3)
    assert embedder.taps == {"block1.mean": 128, "block1.std": 128, "block2.mean": 128, "block2.std": 128}
    vectors, taps = embedder.features(IMAGES)
    assert (vectors == embedder.embed(IMAGES)).all()
    assert (taps.shape, taps.dtype) == ((7, 512), np.float32)
    assert taps == pytest.approx(slow_taps(embedder, IMAGES, [1, 2], 1), abs=1e-4)
    assert embedder.tap_features(IMAGES) == pytest.approx(taps, abs=1e-5)


@pytest.mark.parametrize("name", VITS)
def test_every_vit_has_taps(name: str, tmp_path: Path) -> None:
    """Whatever its library, pooling and class token; the embedding is to the bit what `embed` returns."""
    vision, before = VITS[name]
    embedder = OpenClipEmbedder(written(tmp_path, vision))
    at = list(default_blocks(len(blocks_of(embedder))))
    assert list(embedder.taps) == [f"block{block}.{each}" for block in at for each in ("mean", "std")]
    vectors, taps = embedder.features(IMAGES)
    assert (vectors == embedder.embed(IMAGES)).all()
    assert taps == pytest.approx(slow_taps(embedder, IMAGES, at, before), abs=1e-4)
    assert taps.shape[1] == sum(embedder.taps.values())


def test_a_pass_for_taps_stops_behind_the_last_of_them() -> None:
    """Of the demo CLIP's three blocks, two run for taps alone, and each runs once for features."""
    embedder = OpenClipEmbedder(f"local-dir:{CLIP}")
    ran: list[int] = []
    for number, block in enumerate(blocks_of(embedder), 1):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    embedder.tap_features(IMAGES)
    assert ran == [1, 2]
    ran.clear()
    embedder.features(IMAGES)
    assert ran == [1, 2, 3]


@pytest.mark.parametrize("name", [*OTHERS, "layer"])
def test_other_towers_have_none(name: str, tmp_path: Path) -> None:
    """Towers that are no ViT, and single layers, embed as before; asked for taps, they name another method."""
    which = f"local-dir:{CLIP}#layer=2" if name == "layer" else written(tmp_path, OTHERS[name])
    embedder = build_embedder(f"open_clip:{which}", Placement())
    assert len(embedder.embed(IMAGES)) == 7
    assert embedder.taps == {}
    for ask in (embedder.features, embedder.tap_features):
        with pytest.raises(ConfigurationError, match="has no taps: use the method cosine"):
            ask(IMAGES)


@pytest.mark.parametrize("embedder", [FakeEmbedder(), OpenClipEmbedder(f"local-dir:{CLIP}")], ids=["fake", "clip"])
def test_no_images_have_no_rows(embedder: Embedder) -> None:
    """Each of both arrays is empty, and as wide as ever."""
    vectors, taps = embedder.features([])
    assert vectors.shape == (0, embedder.dimension)
    assert taps.shape == embedder.tap_features([]).shape == (0, sum(embedder.taps.values()))


def test_the_fakes_taps_are_of_the_pixels() -> None:
    """Equal for equal images, different for different ones, and the embedding is what `embed` returns."""
    vectors, taps = FakeEmbedder().features([*IMAGES, IMAGES[0].copy()])
    assert (vectors == FakeEmbedder().embed([*IMAGES, IMAGES[0]])).all()
    assert (taps == FakeEmbedder().tap_features([*IMAGES, IMAGES[0]])).all()
    assert taps.shape == (8, sum(FakeEmbedder().taps.values()))
    assert (taps[0] == taps[7]).all()
    assert len(np.unique(taps, axis=0)) == 7
