"""`python -m attribution export-onnx`: an open_clip image tower as a directory that `onnx:local-dir:…` embeds with.

What was written is used at once: images must come out prepared exactly as open_clip prepares them, and features, taps
included, must be those of torch, or nothing is left behind.
"""

import contextlib
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from PIL import Image

from attribution.embed.onnx import ABOUT, MODEL, SCHEMA, OnnxEmbedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.embed.preprocess import Preprocessing
from attribution.embed.spec import EmbedderSpec
from attribution.embed.tower import Tower, load_tower
from attribution.errors import ConfigurationError
from attribution.known_answers import FLOAT32_COSINE, LEAST_COSINE, KnownAnswers, subject_of_embedder
from attribution.known_answers.known_images import known_images
from attribution.ports import Vectors
from attribution.weights import KNOWN_ANSWERS

TOLERANCE = 1e-3  # between unit features of torch and of the exported graph, in any of their numbers
MOST_OFF = 1e-3  # what the cosine between the two may lack to 1, in any image and precision
PRECISIONS = ("float32", "int8-dynamic")
# What protobuf can hold in one file is 2 GiB; weights beyond this go into a file beside the graph.
_IN_ONE_FILE = 1_500_000_000
_WORTH_PACKING = 1024


def export(name: str, directory: Path, precision: str = "float32", samples: Sequence[Image.Image] = ()) -> float:
    """Writes the model `name` stands for. Returns the largest difference from torch, in unit features and taps.

    Samples are images like those to come; a few of noise are compared besides.
    Raises ConfigurationError where the model or the precision cannot be had, or the result is another.
    """
    if directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(f"{directory} is not empty; export into a new directory.")
    tower = load_tower(name)
    preprocessing = Preprocessing.read(tower.preprocessing)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        beside = Path(scratch) / directory.name
        beside.mkdir()
        with _quiet():
            if precision == "float32":
                _graph(tower, beside / MODEL, preprocessing)
                _pack(beside / MODEL)
            else:
                _graph(tower, Path(scratch) / MODEL, preprocessing)
                _quantize(Path(scratch) / MODEL, beside / MODEL)
            _strip(beside / MODEL)
        about = {
            "schema": SCHEMA,
            "from": str(tower.ref),
            "precision": precision,
            "dimension": tower.dimension,
            # Ranges are of a whole batch: in company an image's features were off its own by 0.03 in the cosine.
            **({"batch": 1} if precision == "int8-dynamic" else {}),
            **({"taps": {each: each for each in tower.tapped.blocks}, "prefix_tokens": 0} if tower.tapped else {}),
            "preprocessing": preprocessing.values(),
        }
        (beside / ABOUT).write_text(json.dumps(about, indent=2) + "\n")
        compared = _compare(name, beside, precision, [*_noise(), *known_images().values(), *samples])
        for what, (difference, cosine) in compared.items():
            if not cosine >= 1 - MOST_OFF:
                raise ConfigurationError(
                    f"In {precision}, {what} are too far from torch's: a cosine of {cosine:.4f}, and at least "
                    f"{1 - MOST_OFF} is needed." + (" Export in float32." if precision != "float32" else "")
                )
            if precision == "float32" and not difference <= TOLERANCE:
                raise ConfigurationError(f"The exported graph's {what} are off torch's by {difference:.2g}.")
        if directory.exists():
            directory.rmdir()
        shutil.move(beside, directory)
    return max(difference for difference, _ in compared.values())


def _graph(tower: Tower, path: Path, preprocessing: Preprocessing) -> None:
    module, blocks = (tower.tapped, list(tower.tapped.blocks)) if tower.tapped else (tower.module, [])
    size = sum(parameter.numel() * parameter.element_size() for parameter in tower.module.parameters())
    torch.onnx.export(
        module,
        (torch.zeros(2, 3, *preprocessing.size),),
        path,
        input_names=["pixels"],
        output_names=["features", *blocks],
        dynamic_shapes={"pixels": {0: torch.export.Dim("n", min=1)}},
        dynamo=True,
        external_data=size > _IN_ONE_FILE,
        verbose=False,
    )


def _pack(path: Path) -> None:
    """Stores weights in half precision where that loses nothing; ONNX Runtime widens them once, while loading."""
    if path.with_name(f"{MODEL}.data").exists():
        return
    model = onnx.load(path)
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _WORTH_PACKING:
            continue
        half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            cast = helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    onnx.save(model, path)


def _strip(path: Path) -> None:
    """Takes out what the exporter noted of the machine it ran on, such as the paths of source files."""
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del each.metadata_props[:]
        each.doc_string = ""
    onnx.save(model, path)


def _quantize(source: Path, target: Path) -> None:
    """Matrix products in int8, with a scale for each column of a weight; the patches' convolution stays in float32.

    Weights have seven bits (`reduce_range`): with eight, products saturate on processors without VNNI.
    """
    from onnxruntime import quantization

    prepared = source.with_name("prepared.onnx")
    quantization.shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantization.quantize_dynamic(
        prepared,
        target,
        per_channel=True,
        reduce_range=True,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )


def _record(original: OpenClipEmbedder, name: str, directory: Path, precision: str) -> None:
    """Writes torch's float32 features of the known images beside the graph: a worker must reproduce them."""
    subject = subject_of_embedder(original, EmbedderSpec(name, "open_clip", name), "cpu")
    assert subject is not None
    least = FLOAT32_COSINE if precision == "float32" else LEAST_COSINE
    KnownAnswers.record(subject, least).write(directory / KNOWN_ANSWERS)


def _compare(
    name: str, directory: Path, precision: str, images: Sequence[Image.Image]
) -> dict[str, tuple[float, float]]:
    """For features and each tap, the largest difference between two numbers and the smallest cosine, ours and torch's.

    Numbers of a tap are compared as parts of its length in torch, as those of features are.
    """
    ours, theirs = OnnxEmbedder(str(directory)), OpenClipEmbedder(name)
    _record(theirs, name, directory, precision)
    if not np.array_equal(ours.prepare(images), theirs.prepare(images).numpy()):
        raise ConfigurationError(f"{name} prepares its images in a way that cannot be done without torch here.")
    pairs = {"features": (ours.embed(images), theirs.embed(images))}
    if theirs.taps:
        (_, left), (_, right) = ours.features(images), theirs.features(images)
        cuts = np.cumsum(list(theirs.taps.values()))[:-1]
        pairs |= zip(
            (f"taps {tap}" for tap in theirs.taps),
            zip(np.split(left, cuts, axis=1), np.split(right, cuts, axis=1), strict=True),
            strict=True,
        )
    return {what: _difference(*pair) for what, pair in pairs.items()}


def _difference(ours: Vectors, theirs: Vectors) -> tuple[float, float]:
    lengths, own = np.linalg.norm(theirs, axis=1), np.linalg.norm(ours, axis=1)
    cosines = (ours * theirs).sum(axis=1) / (lengths * own)
    return float((np.abs(ours - theirs).max(axis=1) / lengths).max()), float(cosines.min())


def _noise() -> list[Image.Image]:
    """Images of several shapes, some smaller than any model looks at."""
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for height, width in ((64, 64), (30, 47), (301, 200), (224, 224))
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporter and quantizer print their progress and give advice on the root logger."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
