"""The open_clip embedder, over a tiny random CLIP on disk."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from attribution.build import Placement, build_embedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.errors import AttributionError, ConfigurationError
from attribution.weights import digest_of_file

CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash"}
NOISE = np.random.default_rng(0).integers(0, 256, (7, 40, 50, 3), dtype=np.uint8)
IMAGES = [Image.fromarray(pixels) for pixels in NOISE]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny CLIP."""
    directory = tmp_path_factory.mktemp("models") / "clip"
    directory.mkdir()
    torch.manual_seed(0)
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    save_file(open_clip.model.CLIP(**CONFIG).state_dict(), directory / "open_clip_model.safetensors")
    return directory


def test_a_directory_embeds(clip: Path) -> None:
    """Unit rows of float32, the directory's name, and the hash of its weight file."""
    embedder = build_embedder(f"open_clip:local-dir:{clip}", Placement())
    rows = embedder.embed(IMAGES)
    assert (rows.shape, rows.dtype, embedder.dimension) == ((7, 12), np.float32, 12)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)
    assert (embedder.ref.name, embedder.ref.revision) == (
        "clip",
        digest_of_file(clip / "open_clip_model.safetensors"),
    )


def test_chunks_do_not_change_features(clip: Path) -> None:
    """The upper batch size is a matter of memory only."""
    whole, chunked = (OpenClipEmbedder(f"local-dir:{clip}", batch_size=size).embed(IMAGES) for size in (32, 3))
    assert np.abs(whole - chunked).max() < 1e-6


def test_preparing_in_batches_is_the_models_own_preparing(clip: Path) -> None:
    """Bit for bit what open_clip's transform makes of each image by itself, whatever its size and mode."""
    _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    mixed = [*IMAGES, IMAGES[0].resize((32, 32)), IMAGES[1].convert("L")]
    one_by_one = torch.stack([transform(image.convert("RGB")) for image in mixed])
    assert torch.equal(OpenClipEmbedder(f"local-dir:{clip}").prepare(mixed), one_by_one)


def test_nothing_to_embed(clip: Path) -> None:
    """No images, no rows."""
    assert OpenClipEmbedder(f"local-dir:{clip}").embed([]).shape == (0, 12)


def test_features_without_direction_are_an_error(clip: Path) -> None:
    """A zero or a NaN cannot be normalised, and is not passed on."""
    embedder = OpenClipEmbedder(f"local-dir:{clip}")
    for value in (0.0, float("nan")):
        with pytest.raises(AttributionError, match="without a direction"):
            embedder.finish(torch.full((1, 12), value))


@pytest.mark.parametrize("spec", ["local-dir:/nowhere/at/all", "ViT-of-Dreams/openai"])
def test_what_cannot_be_loaded_is_named(spec: str) -> None:
    """The operator's typing error comes back in a sentence."""
    with pytest.raises(ConfigurationError, match=spec):
        build_embedder(f"open_clip:{spec}", Placement())


def test_weights_that_are_missing_are_an_error(tmp_path: Path) -> None:
    """A model is never used with random weights."""
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        OpenClipEmbedder(f"local-dir:{tmp_path}")
