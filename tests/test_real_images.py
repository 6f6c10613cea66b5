"""Images by real generators, used in place where they are at hand, in intake, features and ranking."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from attribution.build import Placement, build_embedder
from attribution.distance import distance_named
from attribution.embed.stage import embed_all
from attribution.image import ImageLimits, load
from attribution.ports import Reason
from attribution.rank import rank
from attribution.verdict import judge

pytestmark = pytest.mark.real_data
CLIP = Path(__file__).parents[1] / "zoo" / "models" / "clip"
LIMITS = ImageLimits(max_pixels=50_000_000, max_frames=1_000, canonical_side=1_024)


def test_real_generated_images_are_taken_embedded_and_ranked(real_data: Path) -> None:
    """One image is the query, others of the same prompt are the images of three sources: a ranking, and no verdict."""
    folder = real_data / "real-generators"
    images: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*/*.png")):
        images[path.stem.partition("__")[0], path.parent.name].append(path)
    prompts = sorted({prompt for prompt, _ in images})
    models = sorted({model for _, model in images})
    assert (len(prompts), len(models)) == (7, 3)
    embedder = build_embedder(f"open_clip:local-dir:{CLIP}", Placement())
    for prompt in prompts:
        query = load(images[prompt, models[0]][0], LIMITS).image
        generated_images = {
            model: [load(path, LIMITS).image for path in images[prompt, model][1:3]] for model in models
        }
        embedded = embed_all(embedder, query, generated_images)
        assert np.linalg.norm(embedded.query) == pytest.approx(1, abs=1e-5)
        ranking = rank(embedded, distance_named("cosine"), models)
        assert {entry.source for entry in ranking.entries} == set(models)
        assert judge(ranking, quorum=2, threshold=None).reason is Reason.UNCALIBRATED


def test_the_manifest_and_the_folder_agree(real_data: Path) -> None:
    """Every image that the manifest names is there and is an image."""
    folder = real_data / "real-generators"
    with (folder / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 189
    assert {load(path, LIMITS).format for path in list(folder.glob("*/*.png"))[:30]} == {"PNG"}
