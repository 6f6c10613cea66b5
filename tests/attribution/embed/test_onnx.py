"""ONNX Runtime as an embedder: what it says is what torch says, and it needs no torch to say so."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from attribution.build import Placement, build_embedder
from attribution.embed.export import export
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.embed.preprocess import Preprocessing
from attribution.embed.saturation import LARGEST_SUM, largest_pair_sum, signed_weights
from attribution.errors import ConfigurationError
from tests.attribution.command_line import main

REPOSITORY = Path(__file__).parents[3]
CLIP, EXPORTED = REPOSITORY / "zoo/models/clip", REPOSITORY / "zoo/models/clip-onnx"
NOISE = np.random.default_rng(0)
IMAGES = [
    Image.fromarray(NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8))
    for height, width in ((64, 64), (33, 50), (50, 33), (301, 40), (97, 512))
]


def test_the_zoos_exported_clip_is_torchs() -> None:
    """The files that ship: every number of every unit feature within a thousandth, whatever the image's shape."""
    ours = build_embedder(f"onnx:local-dir:{EXPORTED}", Placement())
    theirs = build_embedder(f"open_clip:local-dir:{CLIP}", Placement())
    assert np.abs(ours.embed(IMAGES) - theirs.embed(IMAGES)).max() < 1e-3
    assert json.loads((EXPORTED / "embedder.json").read_text())["from"] == str(theirs.ref)
    assert ours.ref != theirs.ref, "thresholds that were measured with one must not be applied to the other"


def test_no_torch_is_needed() -> None:
    """Without ML wheels, a process builds the exported embedder and embeds."""
    script = """
import sys
for name in ("torch", "torchvision", "open_clip", "transformers", "onnx"):
    sys.modules[name] = None
from PIL import Image
from attribution.build import Placement, build_embedder
embedder = build_embedder("onnx:local-dir:zoo/models/clip-onnx", Placement(threads=1))
assert embedder.embed([Image.new("RGB", (70, 50), "red")]).shape == (1, 192)
"""
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)


def test_a_model_is_exported_quantized_and_compared(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The command writes a directory that embeds like the layer it was made of; a second time it is not overwritten."""
    target = tmp_path / "layer"
    assert main(["export-onnx", f"local-dir:{clip}#layer=1,pool=mean", str(target), "--precision", "int8-dynamic"]) == 0
    assert f"embed with onnx:local-dir:{target}" in capsys.readouterr().out
    exported = build_embedder(f"onnx:local-dir:{target}", Placement())
    layer = OpenClipEmbedder(f"local-dir:{clip}#layer=1,pool=mean")
    assert exported.dimension == layer.dimension == 16
    cosines = (exported.embed(IMAGES) * layer.embed(IMAGES)).sum(axis=1)
    alone = np.concatenate([exported.embed([image]) for image in IMAGES])
    assert np.array_equal(alone, exported.embed(IMAGES)), "features are an image's own, whatever else is in the batch"
    assert 0.999 < cosines.min() < cosines.max() < 1 - 1e-7, "int8 is near, and it is int8"
    sums = [largest_pair_sum(weights) for _, weights in signed_weights(target / "model.onnx")]
    assert len([each for each in sums if each > 0]) == 4, "the zero points of the four weights are 0"
    assert max(sums) <= LARGEST_SUM, "int8 is as near on every processor"
    assert str(REPOSITORY).encode() not in (target / "model.onnx").read_bytes()
    assert main(["export-onnx", f"local-dir:{clip}", str(target)]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "sentence"),
    [({}, "cannot be read"), ({"size": [3, 4], "mean": [0] * 3, "std": [1] * 3}, "only squares"),
     ({"size": 4, "mean": [0] * 3, "std": [1] * 3, "resize_mode": "tile"}, "cannot be prepared like this")],
)  # fmt: skip
def test_preparing_that_is_not_known_is_refused(config: dict[str, object], sentence: str) -> None:
    """Unsupported preprocessing is an error."""
    with pytest.raises(ConfigurationError, match=sentence):
        Preprocessing.read(config)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_images_are_prepared_as_by_open_clip(mode: str) -> None:
    """Preprocessing equals open_clip's bit for bit, in each mode, for odd and extreme shapes."""
    config = {"size": 31, "mean": (0.1, 0.2, 0.3), "std": (0.3, 0.4, 0.5), "interpolation": "bilinear"}
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**config, resize_mode=mode, fill_color=7), is_train=False
    )
    ours = Preprocessing.read({**config, "resize_mode": mode, "fill_color": 7})
    for image in IMAGES:
        assert np.array_equal(ours.pixels(image), transform(image).numpy())


def test_a_directory_without_an_embedder_is_named(tmp_path: Path) -> None:
    """The error names the command that writes a model; an invalid graph and a missing device are errors, too."""
    with pytest.raises(ConfigurationError, match="export-onnx"):
        build_embedder(f"onnx:local-dir:{tmp_path}", Placement())
    (tmp_path / "embedder.json").write_bytes((EXPORTED / "embedder.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        build_embedder(f"onnx:local-dir:{tmp_path}", Placement())
    with pytest.raises(ConfigurationError, match="cannot use the device"):
        build_embedder(f"onnx:local-dir:{tmp_path}", Placement(device="tpu"))


def test_an_export_that_is_far_from_torch_is_not_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """An activation far above the others, which no weight uses, leaves them no steps in eight bits; float32 works."""
    model = tmp_path / "outlier"
    shutil.copytree(CLIP, model)
    weights = load_file(model / "open_clip_model.safetensors")
    for block in range(3):
        for norm, product in (("ln_1.bias", "attn.in_proj_weight"), ("ln_2.bias", "mlp.c_fc.weight")):
            weights[f"visual.transformer.resblocks.{block}.{norm}"][0] = 1000.0
            weights[f"visual.transformer.resblocks.{block}.{product}"][:, 0] = 0.0
    save_file(weights, model / "open_clip_model.safetensors")
    target = tmp_path / "int8"
    assert main(["export-onnx", f"local-dir:{model}", str(target), "--precision", "int8-dynamic"]) == 2
    assert "too far from torch's" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [model]
    export(f"local-dir:{model}", target)
    assert build_embedder(f"onnx:local-dir:{target}", Placement()).dimension == 192
