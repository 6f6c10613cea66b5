"""`make bench-embed`: images a second in batches beside one at a time; same model, same threads, preparing included.

Architectures are CLIP's, weights are random, which costs the same. Requirements, for ViT-B/32: 1.3 times as fast as one
at a time, and 60 % of the rate of float32 matrix products on this host.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

from attribution.embed.open_clip import OpenClipEmbedder
from perf.machine import fastest, gemm_rate
from perf.report import Requirement, finish

SIDE = 512
TEXT = {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1}  # thrown away by the embedder


@dataclass(frozen=True, slots=True)
class Case:
    """An architecture, how many images are timed, and how often."""

    model: str
    images: int
    times: int


CASES = (Case("ViT-B-32", 32, 5), Case("ViT-B-16", 16, 3), Case("ViT-L-14-336", 4, 2))


def operations(vision: dict[str, int], dimension: int) -> float:
    """float32 operations per image in matrix products: patches, attention, two-layer perceptrons, projection."""
    width, patch = vision["width"], vision["patch_size"]
    tokens = (vision["image_size"] // patch) ** 2
    embedding = tokens * 3 * patch**2 * width
    tokens += 1
    layer = 12 * tokens * width**2 + 2 * tokens**2 * width
    return 2.0 * (embedding + vision["layers"] * layer + width * dimension)


def random_embedder(case: Case, directory: Path) -> tuple[OpenClipEmbedder, float]:
    """The architecture with random weights, loaded as a user's own would be, and its operations per image."""
    config = open_clip.get_model_config(case.model)
    assert config is not None
    small = {"embed_dim": config["embed_dim"], "vision_cfg": config["vision_cfg"], "text_cfg": TEXT}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(**small).state_dict(), directory / "open_clip_model.safetensors")
    described = {"model_cfg": small, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(described))
    return OpenClipEmbedder(f"local-dir:{directory}"), operations(config["vision_cfg"], config["embed_dim"])


def measure(case: Case, gemm: float) -> dict[str, float]:
    """Images a second both ways, and the batched way's share of the matrix product's rate."""
    noise = np.random.default_rng(0).integers(0, 256, (case.images, SIDE, SIDE, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels) for pixels in noise]
    with TemporaryDirectory() as directory:
        embedder, cost = random_embedder(case, Path(directory))
    embedder.embed(images[:2])
    single = case.images / fastest(lambda: [embedder.embed([image]) for image in images], max(2, case.times - 1))
    batched = case.images / fastest(lambda: embedder.embed(images), case.times)
    gemm = max(gemm, gemm_rate())  # measured again: the load of the host may have changed
    share = batched * cost / gemm
    print(f"{case.model}: {single:.2f} one at a time, {batched:.2f} in batches a second, {100 * share:.0f} % of GEMM")
    return {
        "images": case.images,
        "single_per_second": round(single, 2),
        "batched_per_second": round(batched, 2),
        "times_faster": round(batched / single, 2),
        "gflop_per_image": round(cost / 1e9, 2),
        "gemm_gflops": round(gemm / 1e9, 1),
        "share_of_gemm": round(share, 3),
    }


def main() -> None:
    """Measures and prints."""
    gemm = gemm_rate()
    print(f"{torch.get_num_threads()} threads multiply matrices with {gemm / 1e9:.0f} GFLOP/s in float32")
    found = {case.model: measure(case, gemm) for case in CASES}
    figures = {"threads": torch.get_num_threads(), "image_side": SIDE, **found}
    small = found["ViT-B-32"]
    finish(
        "embed",
        figures,
        [
            Requirement("ViT-B/32, batched / one at a time", small["times_faster"], at_least=1.3),
            Requirement("ViT-B/32, share of the GEMM rate", small["share_of_gemm"], at_least=0.6),
        ],
    )


if __name__ == "__main__":
    main()
