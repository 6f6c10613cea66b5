"""γ, the drawings of each source, and which of their similarities stands for it; and what a query then costs."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from attribution.build import Placement, build_embedder, build_generator
from attribution.caption.fake import FakeCaptioner
from attribution.catalogue import Catalogue
from attribution.distance import distance_named
from attribution.errors import AttributionError
from attribution.image import load
from attribution.method import attribute
from attribution.ports import Aggregate, SourceState
from attribution.resynthesise.pool import GeneratorPool
from benchmark.dataset import Dataset
from benchmark.metrics import interval
from benchmark.variants.subject import Subject


def drawings(subject: Subject, counts: Sequence[int], distance: str) -> list[dict[str, Any]]:
    """A row for each γ and aggregate; of one drawing all aggregates are the same, so there is one row.

    `over_mean` is how much more often than the mean of as many drawings it is right, query by query.
    """
    rows = []
    for candidates in counts:
        usual = subject.rankings(distance, candidates).right
        for aggregate in Aggregate if candidates > 1 else (Aggregate.MEAN,):
            right = subject.rankings(distance, candidates, aggregate).right
            rows.append(
                {
                    "candidates": candidates,
                    "aggregate": aggregate.value,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, subject.groups),
                    "over_mean": float(right.mean() - usual.mean()),
                    "over_mean_interval_95": interval(right.astype(float) - usual, subject.groups),
                    "images": candidates * len(subject.features.sources),
                }
            )
    return rows


def seconds(
    dataset: Dataset, catalogue: Catalogue, embedder: str, placement: Placement, counts: Sequence[int], queries: int
) -> dict[int, dict[str, float]]:
    """Seconds a query by γ: drawing, embedding and ranking of the first originals, all of them drawn anew.

    The caption is the one that the dataset has; models are loaded before. Raises AttributionError where a source drew
    fewer than it was asked for.
    """
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    generators = [pool.handle(catalogue.get(source)) for source in dataset.sources]
    loaded = build_embedder(embedder, placement)
    asked = [item for item in dataset.items if item.source is None][:queries]
    found: dict[int, dict[str, float]] = {}
    for candidates in (1, *counts):  # the first time to load and warm up
        spent = {"drawing": 0.0, "embedding": 0.0, "all": 0.0}
        for item in asked:
            image = load(dataset.directory / item.file).image
            started = time.monotonic()
            answer = attribute(
                image,
                captioner=FakeCaptioner(),
                generators=generators,
                embedder=loaded,
                distance=distance_named("cosine"),
                candidates=candidates,
                prompt=item.caption,
            )
            spent["all"] += time.monotonic() - started
            spent["drawing"] += answer.seconds["resynthesising"]
            spent["embedding"] += answer.seconds["embedding"]
            if any(each.state is not SourceState.DONE for each in answer.resyntheses):
                raise AttributionError("Not every source drew: seconds would be too few.")
        found[candidates] = {name: value / len(asked) for name, value in spent.items()}
    return found
