"""γ, the generated images of each source, and which of their similarities stands for it; and what a query then costs."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from attribution.build import Placement, build_embedder, build_generator
from attribution.caption.fake import FakeCaptioner
from attribution.catalog import Catalog
from attribution.distance import distance_named
from attribution.errors import AttributionError
from attribution.image import load
from attribution.method import attribute
from attribution.ports import Aggregate, SourceState
from attribution.resynthesis.pool import GeneratorPool
from evaluation.dataset import Dataset
from evaluation.metrics import interval
from evaluation.variants.subject import Subject


def generated_images(subject: Subject, counts: Sequence[int], distance: str) -> list[dict[str, Any]]:
    """A row for each γ and aggregate; of one generated image all aggregates are the same, so there is one row.

    `over_mean` is how much more often than the mean of as many generated images it is right, query by query.
    """
    rows = []
    for images_per_source in counts:
        usual = subject.rankings(distance, images_per_source).right
        for aggregate in Aggregate if images_per_source > 1 else (Aggregate.MEAN,):
            right = subject.rankings(distance, images_per_source, aggregate).right
            rows.append(
                {
                    "images_per_source": images_per_source,
                    "aggregate": aggregate.value,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, subject.groups),
                    "over_mean": float(right.mean() - usual.mean()),
                    "over_mean_interval_95": interval(right.astype(float) - usual, subject.groups),
                    "images": images_per_source * len(subject.features.sources),
                }
            )
    return rows


def seconds(
    dataset: Dataset, catalog: Catalog, embedder: str, placement: Placement, counts: Sequence[int], queries: int
) -> dict[int, dict[str, float]]:
    """Seconds a query by γ: generating, embedding and ranking of the first originals, all of them generated anew.

    The caption is the one that the dataset has; models are loaded before. Raises AttributionError where a source generated
    fewer than it was asked for.
    """
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    generators = [pool.handle(catalog.get(source)) for source in dataset.sources]
    loaded = build_embedder(embedder, placement)
    asked = [item for item in dataset.items if item.source is None][:queries]
    found: dict[int, dict[str, float]] = {}
    for images_per_source in (1, *counts):  # the first time to load and warm up
        spent = {"generated_image": 0.0, "embedding": 0.0, "all": 0.0}
        for item in asked:
            image = load(dataset.directory / item.file).image
            started = time.monotonic()
            answer = attribute(
                image,
                captioner=FakeCaptioner(),
                generators=generators,
                embedder=loaded,
                distance=distance_named("cosine"),
                images_per_source=images_per_source,
                prompt=item.caption,
            )
            spent["all"] += time.monotonic() - started
            spent["generated_image"] += answer.seconds["resynthesizing"]
            spent["embedding"] += answer.seconds["embedding"]
            if any(each.state is not SourceState.DONE for each in answer.resyntheses):
                raise AttributionError("Not every source generated: seconds would be too few.")
        found[images_per_source] = {name: value / len(asked) for name, value in spent.items()}
    return found
