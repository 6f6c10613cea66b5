"""The open_clip embedder, over a tiny random CLIP on disk."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from attribution.build import Placement, build_embedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.errors import AttributionError, ConfigurationError
from attribution.weights import digest_of_file
from tests.attribution.embed.conftest import CONFIG, PREPROCESS

NOISE = np.random.default_rng(0).integers(0, 256, (7, 40, 50, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in NOISE]


def test_a_directory_embeds(clip: Path) -> None:
    """Unit rows of float32, the directory's name, and the hashes of its weight file and of its settings."""
    embedder = build_embedder(f"open_clip:local-dir:{clip}", Placement())
    rows = embedder.embed(IMAGES)
    assert (rows.shape, rows.dtype, embedder.dimension) == ((7, 12), np.float32, 12)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)
    assert embedder.ref.name == "clip"
    weights = digest_of_file(clip / "open_clip_model.safetensors")
    assert re.fullmatch(rf"{weights},config=[0-9a-f]{{8}}", embedder.ref.revision)


def test_chunks_do_not_change_features(clip: Path) -> None:
    """The batch size does not change the images."""
    whole, chunked = (OpenClipEmbedder(f"local-dir:{clip}", batch_size=size).embed(IMAGES) for size in (32, 3))
    assert np.abs(whole - chunked).max() < 1e-6


def test_preparing_in_batches_is_the_models_own_preparing(clip: Path) -> None:
    """Preprocessing equals open_clip's transform bit for bit, for all sizes and modes."""
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    mixed = [*IMAGES, IMAGES[0].resize((32, 32)), IMAGES[1].convert("L")]
    one_by_one = torch.stack([transform(image.convert("RGB")) for image in mixed])
    assert torch.equal(OpenClipEmbedder(f"local-dir:{clip}").prepare(mixed), one_by_one)


def test_nothing_to_embed(clip: Path) -> None:
    """No images, no rows."""
    assert OpenClipEmbedder(f"local-dir:{clip}").embed([]).shape == (0, 12)


def test_features_without_direction_are_an_error(clip: Path) -> None:
    """Features of zero length, or NaN, are an error."""
    embedder = OpenClipEmbedder(f"local-dir:{clip}")
    for value in (0.0, float("nan")):
        with pytest.raises(AttributionError, match="without a direction"):
            embedder.finish(torch.full((1, 12), value))


@pytest.mark.parametrize("spec", ["local-dir:/nowhere/at/all", "ViT-of-Dreams/openai"])
def test_what_cannot_be_loaded_is_named(spec: str) -> None:
    """An unknown model is an error with a sentence."""
    with pytest.raises(ConfigurationError, match=spec):
        build_embedder(f"open_clip:{spec}", Placement())


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    """A model is never used with random weights."""
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEmbedder(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(("pool", "at"), [("cls", 0), ("mean", slice(1, None))])
def test_a_layer_is_a_feature_space_of_its_own(clip: Path, pool: str, at: int | slice) -> None:
    """The features of a layer equal the block's pooled output of unit length, under their own name."""
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    said = []
    model.visual.transformer.resblocks[0].register_forward_hook(lambda *caught: said.append(caught[2]))
    layer: Any = build_embedder(f"open_clip:local-dir:{clip}#layer=1,pool={pool}", Placement())
    whole = build_embedder(f"open_clip:local-dir:{clip}", Placement())
    with torch.inference_mode():
        model.encode_image(layer.prepare(IMAGES))
    tokens = said[0].numpy()[:, at]
    pooled = tokens if pool == "cls" else tokens.mean(axis=1)
    assert np.abs(layer.embed(IMAGES) - pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).max() < 1e-5
    assert layer.dimension == 16
    assert (layer.ref.name, layer.ref.revision) == (f"clip#layer=1,pool={pool}", whole.ref.revision)


@pytest.mark.parametrize("layer", ["layer=9", "layer=0", "layer=x", "pool=mean", "layer=1,pool=max", "depth=3"])
def test_a_layer_that_is_not_there_is_refused(clip: Path, layer: str) -> None:
    """Layers count from 1 to the model's last block; other layers and poolings are errors."""
    with pytest.raises(ConfigurationError, match=layer):
        build_embedder(f"open_clip:local-dir:{clip}#{layer}", Placement())
