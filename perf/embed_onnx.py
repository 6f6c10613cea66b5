"""`make bench-embed-onnx`: ONNX Runtime beside torch, images a second, preparing included; same threads, one run.

ViT-B/32 and ViT-B/16 are CLIP's architectures with random weights, which cost the same but say nothing about accuracy:
that is measured with the zoo's CLIP, on a dataset of the zoo's. Bounds: on every processor, the cosine to torch's
features is 0.999 at least (0.9999 in float32), and float32 gives torch's answers and is not far behind in speed; int8
is one and a half times as fast as torch where the processor has VNNI.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from attribution.embed.export import MOST_OFF, PRECISIONS, export
from attribution.embed.onnx import OnnxEmbedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.image import load
from attribution.ports import Embedder, Vectors
from evaluation.dataset import Dataset
from evaluation.evaluate import rankings
from evaluation.features import embed
from evaluation.metrics import interval
from evaluation.store import WORK, Store
from perf.embed import SIDE, Case, random_embedder
from perf.machine import cpu, fastest
from perf.report import Requirement, finish

CASES = (Case("ViT-B-32", 32, 5), Case("ViT-B-16", 16, 3))
CLIP = "local-dir:zoo/models/clip"
SAMPLES = 64


def speeds(case: Case, scratch: Path) -> dict[str, Any]:
    """Images a second of each way in turn, several rounds: a moment that is slow is slow for all of them."""
    directory = scratch / case.model
    directory.mkdir()
    reference, _ = random_embedder(case, directory)
    noise = np.random.default_rng(0).integers(0, 256, (case.images, SIDE, SIDE, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels) for pixels in noise]
    ways: dict[str, Embedder] = {"torch": reference}
    for precision in PRECISIONS:
        exported = scratch / f"{case.model}-{precision}"
        export(f"local-dir:{directory}", exported, precision, images[:8])
        ways[precision] = OnnxEmbedder(str(exported))
    features = {name: way.embed(images) for name, way in ways.items()}
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(case.times):
        for name, way in ways.items():
            seconds[name] = min(seconds[name], fastest(lambda way=way: way.embed(images), 1))  # type: ignore[misc]
    found = {
        name: {
            "per_second": round(case.images / seconds[name], 2),
            "times_torch": round(seconds["torch"] / seconds[name], 2),
            **({"cosine": round(_cosine(features["torch"], features[name]), 6)} if name != "torch" else {}),
        }
        for name in ways
    }
    for name, figures in found.items():
        print(f"{case.model:<9} {name:<13} {figures}")
    return found


def accuracies(directory: Path, scratch: Path) -> dict[str, Any]:
    """Of the zoo's CLIP on a dataset, each way, and how often the answer is that of torch."""
    dataset = Dataset.open(directory)
    originals = [item for item in dataset.items if item.source is None]
    samples = [load(directory / item.file).image for item in originals[:SAMPLES]]
    ways: dict[str, Embedder] = {"torch": OpenClipEmbedder(CLIP)}
    for precision in PRECISIONS:
        export(CLIP, scratch / precision, precision, samples)
        ways[precision] = OnnxEmbedder(str(scratch / precision))
    found: dict[str, Any] = {}
    torch_says = None
    for name, way in ways.items():
        features = embed(dataset, way, Store(scratch / "store")).of()
        ranked = rankings(features, "cosine", features.images_per_source)
        predicted = ranked.flat.argmin(axis=1)
        flat = features.originals.reshape(len(predicted), -1)
        if torch_says is None:
            torch_says = (predicted, flat)
        found[name] = {
            "accuracy": round(float(ranked.right.mean()), 4),
            "interval_95": [round(bound, 4) for bound in interval(ranked.right)],
            "same_answer": round(float((predicted == torch_says[0]).mean()), 4),
            "cosine": round(_cosine(torch_says[1], flat), 6),
        }
        print(f"zoo CLIP  {name:<13} {found[name]}")
    return {"dataset": directory.name, "queries": len(originals), "sources": len(dataset.sources), **found}


def _cosine(left: Vectors, right: Vectors) -> float:
    """The smallest over images."""
    rows = (left.astype(np.float64) * right).sum(axis=1)
    return float((rows / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)).min())


def main(
    dataset: Annotated[Path, typer.Option(help="made by `make evaluate-dataset-small`")] = WORK / "small" / "papers",
) -> None:
    """Measures and prints."""
    processor, instructions = cpu()
    print(f"processor: {processor}, {'instructions unknown' if instructions is None else ' '.join(instructions)}")
    with TemporaryDirectory() as name:
        scratch = Path(name)
        found = {case.model: speeds(case, scratch) for case in CASES}
        clip = accuracies(dataset, scratch)
    figures = {
        "cpu": {"model": processor, "instructions": instructions},
        "threads": torch.get_num_threads(),
        "image_side": SIDE,
        "speed": found,
        "zoo_clip": clip,
    }
    finish("embed_onnx", figures, _requirements(found, clip, instructions or []))


def _requirements(found: dict[str, Any], clip: dict[str, Any], instructions: list[str]) -> list[Requirement]:
    fast = {"float32": 0.8}
    if {"avx512_vnni", "avx_vnni", "amx"} & set(instructions):
        fast["int8-dynamic"] = 1.5
    requirements = [
        Requirement(f"{model}, {precision} / torch", ways[precision]["times_torch"], at_least=least)
        for model, ways in found.items()
        for precision, least in fast.items()
    ]
    requirements += [
        Requirement(f"{model}, {precision}, smallest cosine with torch", ways[precision]["cosine"], at_least=least)
        for model, ways in {**found, "zoo CLIP": clip}.items()
        for precision, least in {**dict.fromkeys(PRECISIONS, 1 - MOST_OFF), "float32": 0.9999}.items()
    ]
    return [
        *requirements,
        Requirement("zoo CLIP, float32, same answer as torch", clip["float32"]["same_answer"], at_least=1.0),
    ]


if __name__ == "__main__":
    typer.run(main)
