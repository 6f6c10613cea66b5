"""Attributes many queries with the project's own method and caches every generated image, so that a rerun is cheap.

A query is an image that a source generated from a known caption, or an avatar that no source generated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.catalog import Catalog, load_catalog
from attribution.distance import distance_named
from attribution.method import attribute
from attribution.ports import Captioner, Deadline, Embedder, GeneratedImage, Generator, Method, ModelRef
from zoo.captions import Face, Split, faces, sample
from zoo.freeze import ENTRIES
from zoo.paths import MODELS, SOURCES, WORK
from zoo.render import STRANGERS, STYLES, Plan, can_render, render

IMAGES_PER_SOURCE = 4
DISTANCE = "cosine"
# No query may share its noise with a resynthesis. Higher seeds do not ensure that, since torch on the CPU reads only
# the low half of a seed: `outcomes` checks it.
QUERY_SEEDS = 2**32
IDS = tuple(sorted(f"zoo-{entry.key}" for entry in ENTRIES if entry.enabled))


@dataclass(frozen=True, slots=True)
class Query:
    """An image to attribute; `truth` is the source that generated it, None for an avatar; `style` is then its style."""

    image: Image.Image
    face: Face
    truth: str | None
    style: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What came back: the caption, and every source's γ distances."""

    truth: str | None
    style: str | None
    true_caption: str
    caption: str
    distances: dict[str, list[float]]

    def ranking(self, images_per_source: int = IMAGES_PER_SOURCE) -> list[tuple[float, str]]:
        """Sources by mean distance over the first generated images, nearest first."""
        return sorted((float(np.mean(values[:images_per_source])), name) for name, values in self.distances.items())


@dataclass(frozen=True)
class Remembering:
    """A generator whose generated images are kept on disk."""

    inner: Generator
    used: set[int]

    @property
    def source(self) -> str:
        """The inner one's id."""
        return self.inner.source

    @property
    def ref(self) -> ModelRef:
        """The inner one's weights."""
        return self.inner.ref

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> Sequence[GeneratedImage]:
        """From disk where this was generated before."""
        self.used.update(seeds)
        key = sha256(json.dumps([self.source, str(self.ref), prompt, list(seeds)]).encode()).hexdigest()[:32]
        path = WORK / "generated_images" / f"{key}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            generated = self.inner.generate(prompt, seeds, deadline)
            np.save(path, np.stack([np.asarray(generated_image.image) for generated_image in generated]))
        images = [Image.fromarray(pixels) for pixels in np.load(path)]
        return [GeneratedImage(image, seed) for image, seed in zip(images, seeds, strict=True)]


class Bench:
    """The zoo's captioner, CLIP and sources, built exactly as the service builds them."""

    def __init__(self) -> None:
        self.placement = Placement(threads=2)
        self.catalog: Catalog = load_catalog([SOURCES])
        self.resynthesis_seeds: set[int] = set()
        self.query_seeds: set[int] = set()

    @cached_property
    def captioner(self) -> Captioner:
        """BLIP."""
        return build_captioner(f"blip:{MODELS / 'captioner'}", self.placement)

    @cached_property
    def embedder(self) -> Embedder:
        """CLIP."""
        return build_embedder(f"open_clip:local-dir:{MODELS / 'clip'}", self.placement)

    @cached_property
    def generators(self) -> list[Generator]:
        """The four sources, in catalog order."""
        return [build_generator(self.catalog.get(name), self.placement) for name in IDS]

    def generated(self, split: Split, each: int, seed: int) -> list[Query]:
        """`each` images by every source, all from different captions of the split."""
        chosen = sample(split, each * len(self.generators), seed)
        queries = []
        for number, face in enumerate(chosen):
            generator = self.generators[number % len(self.generators)]
            noise = QUERY_SEEDS + number + 1000 * seed
            remembering = Remembering(generator, self.query_seeds)
            (generated_image,) = remembering.generate(face.caption, [noise], Deadline.after(600))
            queries.append(Query(generated_image.image, face, generator.source, seed=noise))
        return queries

    def outcomes(self, queries: Sequence[Query]) -> list[TrialOutcome]:
        """Attributes every query with γ = 4, cosine distance and the captioner's captions."""
        generators = [Remembering(generator, self.resynthesis_seeds) for generator in self.generators]
        results = []
        for number, query in enumerate(queries):
            answer = attribute(
                query.image,
                captioner=self.captioner,
                generators=generators,
                embedder=self.embedder,
                distance=distance_named(DISTANCE),
                method=Method.COSINE,
                images_per_source=IMAGES_PER_SOURCE,
                timeouts=600.0,
            )
            distances = {entry.source: list(entry.distances) for entry in answer.ranking.entries}
            if set(distances) != set(IDS):
                raise RuntimeError(f"only {sorted(distances)} were tested: {answer.resyntheses}")
            results.append(TrialOutcome(query.truth, query.style, query.face.caption, answer.caption.text, distances))
            if number % 20 == 19:
                print(f"  {number + 1} of {len(queries)} attributed", flush=True)
        if {seed % 2**32 for seed in self.resynthesis_seeds} & {seed % 2**32 for seed in self.query_seeds}:
            raise AssertionError("a query was generated with the seed of a resynthesis")
        return results


def avatars(split: Split, each: int, seed: int) -> list[Query]:
    """`each` rendered avatars in every style, the two that no model ever saw included: generated by no source."""
    queries = []
    for number, style in enumerate((*STYLES, *STRANGERS)):
        able = [face for face in sample(split, len(list(faces(split))), seed + number) if can_render(style, face)]
        plans = [Plan(style, face, f"{split}-foreign-{seed}-{index}") for index, face in enumerate(able[:each])]
        for plan, pixels in zip(plans, render(plans), strict=True):
            queries.append(Query(Image.fromarray(pixels), plan.face, None, style=style))
    return queries


def save(path: Path, outcomes: Sequence[TrialOutcome]) -> None:
    """Keeps outcomes for a closer look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
