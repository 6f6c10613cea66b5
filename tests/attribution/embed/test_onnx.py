"""ONNX Runtime as an embedder: what it says is what torch says, and it needs no torch to say so."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import open_clip
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from safetensors.torch import load_file, save_file

from attribution.build import Placement, build_embedder
from attribution.embed.export import export
from attribution.embed.onnx import OnnxEmbedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.embed.preprocess import Preprocessing
from attribution.embed.saturation import LARGEST_SUM, largest_pair_sum, signed_weights
from attribution.errors import ConfigurationError
from attribution.ports import Embedder
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


def apart(ours: Embedder, theirs: Embedder) -> list[float]:
    """For each tap, the largest difference between two numbers, as parts of the tap's length."""
    assert list(ours.taps.items()) == list(theirs.taps.items())
    cuts = np.cumsum(list(theirs.taps.values()))[:-1]
    pairs = zip(*(np.split(each.features(IMAGES)[1], cuts, axis=1) for each in (ours, theirs)), strict=True)
    return [(np.abs(left - right) / np.linalg.norm(right, axis=1, keepdims=True)).max() for left, right in pairs]


def test_the_zoos_exported_taps_are_torchs() -> None:
    """Each of the four, within a thousandth; the embedding beside them is to the bit what `embed` returns."""
    ours = build_embedder(f"onnx:local-dir:{EXPORTED}", Placement())
    theirs = build_embedder(f"open_clip:local-dir:{CLIP}", Placement())
    assert len(apart(ours, theirs)) == 4
    assert max(apart(ours, theirs)) < 1e-3
    vectors, taps = ours.features(IMAGES)
    assert (vectors == ours.embed(IMAGES)).all()
    assert ours.tap_features(IMAGES) == pytest.approx(taps, abs=1e-5)
    assert ours.features([])[1].shape == ours.tap_features([]).shape == (0, 512)


def test_eight_bits_keep_each_tap(tmp_path: Path) -> None:
    """The small CLIP's: a cosine of 0.999 for each, image by image, and it is int8."""
    export(f"local-dir:{CLIP}", tmp_path / "int8", "int8-dynamic")
    ours, theirs = OnnxEmbedder(str(tmp_path / "int8")), OpenClipEmbedder(f"local-dir:{CLIP}")
    cuts = np.cumsum(list(theirs.taps.values()))[:-1]
    for left, right in zip(*(np.split(each.features(IMAGES)[1], cuts, axis=1) for each in (ours, theirs)), strict=True):
        cosines = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
        assert 0.999 < cosines.min() < cosines.max() < 1 - 1e-9


def test_taps_far_from_torchs_are_not_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Where eight bits spoil the first block, and features do not show it because they are the same for all images."""
    model = Path(shutil.copytree(CLIP, tmp_path / "outlier"))
    weights = load_file(model / "open_clip_model.safetensors")
    weights["visual.transformer.resblocks.0.mlp.c_fc.bias"][0] = 1000.0
    weights["visual.transformer.resblocks.0.mlp.c_proj.weight"][:, 0] = 0.0
    weights["visual.ln_post.weight"][:] = 0.0
    save_file(weights, model / "open_clip_model.safetensors")
    assert main(["export-onnx", f"local-dir:{model}", str(tmp_path / "int8"), "--precision", "int8-dynamic"]) == 2
    assert "In int8-dynamic, taps block1." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [model]


def edited(directory: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """A copy of the zoo's exported CLIP with another `embedder.json`."""
    shutil.copytree(EXPORTED, directory)
    about = json.loads((directory / "embedder.json").read_text())
    change(about)
    (directory / "embedder.json").write_text(json.dumps(about))
    return f"onnx:local-dir:{directory}"


def test_exports_without_taps_still_embed(tmp_path: Path) -> None:
    """As those of earlier versions: the same embedding, no taps, and a sentence if one asks for some."""
    embedder = build_embedder(edited(tmp_path / "old", lambda about: about.pop("taps")), Placement())
    assert embedder.taps == {}
    assert (embedder.embed(IMAGES) == build_embedder(f"onnx:local-dir:{EXPORTED}", Placement()).embed(IMAGES)).all()
    for ask in (embedder.features, embedder.tap_features):
        with pytest.raises(ConfigurationError, match="old has no taps: use the method cosine"):
            ask(IMAGES)


@pytest.mark.parametrize(
    "change", [{"taps": {"block1": "absent"}}, {"taps": {"end": "features"}}, {"prefix_tokens": 64}]
)
def test_outputs_that_are_no_tokens_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """One that the graph does not have, one without tokens, and one with nothing but the tokens to leave out."""
    spec = edited(tmp_path / "wrong", lambda about: about.update(change))
    with pytest.raises(ConfigurationError, match=r"wrong: each of the taps in embedder\.json must be an output"):
        build_embedder(spec, Placement())


@pytest.mark.parametrize("prefix", [None, 0, 2])
def test_a_graph_from_elsewhere_names_its_tokens(tmp_path: Path, prefix: int | None) -> None:
    """Its tokens are the pixels, sixteen of three numbers; how many of them stand for no patch is 1, unless said."""
    nodes = [
        helper.make_node("Reshape", ["pixels", "shape"], ["/layers.2/Add_1_output_0"]),
        helper.make_node("ReduceMean", ["/layers.2/Add_1_output_0", "axis"], ["features"], keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 3])]
    outputs.append(onnx.ValueInfoProto(name="/layers.2/Add_1_output_0"))
    constants = [numpy_helper.from_array(np.array(v), name) for name, v in (("shape", [-1, 16, 3]), ("axis", [1]))]
    pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["n", 3, 4, 4])
    graph = helper.make_graph(nodes, "elsewhere", [pixels], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    about = {"schema": 1, "dimension": 3, "preprocessing": {"size": 4, "mean": [0.5] * 3, "std": [0.5] * 3}}
    about |= {"taps": {"block3": "/layers.2/Add_1_output_0"}}
    about |= {} if prefix is None else {"prefix_tokens": prefix}
    (tmp_path / "embedder.json").write_text(json.dumps(about))
    embedder = OnnxEmbedder(str(tmp_path))
    assert embedder.taps == {"block3.mean": 3, "block3.std": 3}
    patches = embedder.prepare(IMAGES).reshape(5, 16, 3)[:, 1 if prefix is None else prefix :]
    vectors, taps = embedder.features(IMAGES)
    assert (vectors == embedder.embed(IMAGES)).all()
    assert taps == pytest.approx(np.concatenate([patches.mean(axis=1), patches.std(axis=1)], axis=1), abs=1e-5)


def test_no_torch_is_needed() -> None:
    """Without ML wheels, a process builds the exported embedder, embeds, and has taps."""
    script = """
import sys
for name in ("torch", "torchvision", "open_clip", "transformers", "onnx"):
    sys.modules[name] = None
from PIL import Image
from attribution.build import Placement, build_embedder
embedder = build_embedder("onnx:local-dir:zoo/models/clip-onnx", Placement(threads=1))
assert embedder.embed([Image.new("RGB", (70, 50), "red")]).shape == (1, 192)
assert embedder.features([Image.new("RGB", (70, 50), "red")])[1].shape == (1, 512)
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
