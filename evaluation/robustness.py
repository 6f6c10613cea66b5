"""How much of its accuracy attribution keeps when queries are distorted, and how often its answer stays the same.

Only queries are distorted: captions, generated images and their features are those of the undistorted image.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from attribution.embed.open_clip import OpenClipEmbedder
from attribution.image import load
from attribution.ports import Captioner, Embedder, Vectors
from evaluation.distort import Distortion, distort
from evaluation.metrics import interval
from evaluation.processes import progress
from evaluation.queries import Queries, answers, ratio_interval
from evaluation.real import RealImage
from evaluation.store import Store, key_of, write

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


_CHUNK = 32
ATTACK = Distortion(
    "pgd",
    "adversarial",
    f"{round(255 * EPSILON)}/255, {STEPS} steps of {round(255 * STEP)}/255, white-box",
    lambda image, dice: image,  # needs the embedder
)


def measure(
    queries: Queries,
    distortions: Sequence[Distortion],
    embedder: Embedder,
    store: Store,
    *,
    distance: str = "cosine",
    images_per_source: int = 1,
    seed: int = 0,
    captioner: Captioner | None = None,
) -> dict[str, Any]:
    """A row for each distortion, beside the clean figures; with a captioner, also how often the caption stays."""
    clean = answers(queries.features, distance, images_per_source)
    truth = np.arange(len(clean))[:, None]
    groups = np.asarray(queries.groups)
    rows = []
    with progress(f"distortions by {embedder.ref.name}", len(distortions)) as done:
        for distortion in distortions:
            originals = _features(queries, distortion, embedder, store, seed)
            found = answers(replace(queries.features, originals=originals), distance, images_per_source)
            similarity = (originals.astype(np.float64) * queries.features.originals).sum(axis=2)
            same = found == clean
            rows.append(
                {
                    "distortion": distortion.name,
                    "family": distortion.family,
                    "parameters": distortion.parameters,
                    "accuracy": float((found == truth).mean()),
                    "share_of_clean": float((found == truth).sum() / max(1, (clean == truth).sum())),
                    "share_interval_95": ratio_interval(found == truth, clean == truth, groups),
                    "same_answer": float(same.mean()),
                    "same_answer_interval_95": interval(same, groups),
                    "mean_cosine": float(similarity.mean()),
                }
            )
            if captioner is not None:
                kept = _captions(queries, distortion, captioner, store, seed) == _captions(
                    queries, None, captioner, store, seed
                )
                rows[-1] |= {"same_caption": float(kept.mean()), "same_caption_interval_95": interval(kept, groups)}
            done(1)
    return {
        "embedder": str(embedder.ref),
        "distance": distance,
        "images_per_source": images_per_source,
        "seed": seed,
        "sources": len(clean),
        "queries": int(clean.size),
        "groups": len(set(queries.groups)),
        "chance": 1 / len(clean),
        "clean_accuracy": float((clean == truth).mean()),
        "clean_interval_95": interval(clean == truth, groups),
        "rows": rows,
    }


def _features(
    queries: Queries, distortion: Distortion, embedder: Embedder, store: Store, seed: int
) -> NDArray[np.floating]:
    """(S, P, d) of the distorted images; what was computed before comes from the store."""
    return np.stack([_row(row, distortion, embedder, store, seed) for row in queries.pictures])


def _captions(
    queries: Queries, distortion: Distortion | None, captioner: Captioner, store: Store, seed: int
) -> NDArray[np.str_]:
    """(S, P) captions of the images, distorted or unchanged."""
    return np.array([_described(row, distortion, captioner, store, seed) for row in queries.pictures])


def _described(
    pictures: Sequence[RealImage], distortion: Distortion | None, captioner: Captioner, store: Store, seed: int
) -> list[str]:
    how = None if distortion is None else [distortion.name, distortion.parameters, seed]
    path = store.path(key_of("described", str(captioner.ref), how, [each.sha256 for each in pictures]), ".json")
    if not path.exists():
        images = [load(each.path).image for each in pictures]
        if distortion is not None:
            images = [distort(distortion, image, p.sha256, seed) for image, p in zip(images, pictures, strict=True)]
        write(path, json.dumps([captioner.describe(image) for image in images]).encode())
    found: list[str] = json.loads(path.read_text())
    return found


def _row(pictures: Sequence[RealImage], distortion: Distortion, embedder: Embedder, store: Store, seed: int) -> Vectors:
    inputs = [distortion.name, distortion.parameters, seed, [each.sha256 for each in pictures]]
    path = store.path(key_of("distorted", str(embedder.ref), *inputs), ".npy")
    if not path.exists():
        parts = [embedder.embed(images) for images in _distorted(pictures, distortion, embedder, seed)]
        write(path, np.concatenate(parts).astype("<f4").tobytes())
    return np.frombuffer(path.read_bytes(), "<f4").reshape(len(pictures), -1)


def _distorted(
    pictures: Sequence[RealImage], distortion: Distortion, embedder: Embedder, seed: int
) -> Iterator[list[Image.Image]]:
    for at in range(0, len(pictures), _CHUNK):
        chunk = pictures[at : at + _CHUNK]
        images = [load(each.path).image for each in chunk]
        names = [each.sha256 for each in chunk]
        if distortion is ATTACK:
            assert isinstance(embedder, OpenClipEmbedder)
            yield attack(embedder, images, names, seed)
        else:
            yield [distort(distortion, image, name, seed) for image, name in zip(images, names, strict=True)]


def markdown(report: Mapping[str, Any]) -> str:
    """The table, with what was measured above it."""
    low, high = report["clean_interval_95"]
    with_captions = "same_caption" in report["rows"][0]
    lines = [
        f"{report['queries']} queries by {report['sources']} sources, {report['embedder']}, {report['distance']}, "
        f"γ = {report['images_per_source']}: undistorted {_percent(report['clean_accuracy'])} are right "
        f"({_percent(low)} to {_percent(high)}; chance {_percent(report['chance'])}).",
        "",
        "| distortion | parameters | accuracy | share of the undistorted | same answer | cosine to itself |"
        + (" same caption |" if with_captions else ""),
        "|---|---|---|---|---|---|" + ("---|" if with_captions else ""),
    ]
    for row in report["rows"]:
        share, same = row["share_interval_95"], row["same_answer_interval_95"]
        lines.append(
            f"| {row['distortion']} | {row['parameters']} | {_percent(row['accuracy'])} "
            f"| {_percent(row['share_of_clean'])} ({_percent(share[0])} to {_percent(share[1])}) "
            f"| {_percent(row['same_answer'])} ({_percent(same[0])} to {_percent(same[1])}) "
            f"| {row['mean_cosine']:.3f} |" + (f" {_percent(row['same_caption'])} |" if with_captions else "")
        )
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
