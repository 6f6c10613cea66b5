"""Distances, γ, aggregates and embedders side by side, on the same generated images; and the seconds of a query."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from attribution.build import Placement, build_embedder, build_generator
from attribution.caption.fake import FakeCaptioner
from attribution.catalog import Catalog
from attribution.distance import DISTANCES, distance_named
from attribution.errors import AttributionError
from attribution.image import load
from attribution.method import attribute
from attribution.ports import Aggregate, Method, SourceState
from attribution.resynthesis.pool import GeneratorPool
from evaluation import options, tables
from evaluation.characters import Side
from evaluation.dataset import Dataset
from evaluation.metrics import interval, macro_auroc, softmax
from evaluation.options import Counts
from evaluation.provenance import save
from evaluation.queries import QuerySelection, answers, open_queries
from evaluation.real import form
from evaluation.store import Store, write
from evaluation.variants.subject import Subject

DEFAULT = "cosine"


def distances(subject: Subject, images_per_source: int) -> list[dict[str, Any]]:
    """A row for each distance: how often it is right, and how much more often than cosine, query by query."""
    reference = subject.rankings(DEFAULT, images_per_source).right
    rows = []
    for name in DISTANCES:
        found = subject.rankings(name, images_per_source)
        two = np.sort(found.distances, axis=2)
        rows.append(
            {
                "distance": name,
                "accuracy": float(found.right.mean()),
                "interval_95": interval(found.right, subject.groups),
                "over_cosine": float(found.right.mean() - reference.mean()),
                "over_cosine_interval_95": interval(found.right.astype(float) - reference, subject.groups),
                "roc_auc": macro_auroc(softmax(found.flat), found.truth),
                "recall": {source: float(found.right[i].mean()) for i, source in enumerate(found.sources)},
                "recall_interval_95": {
                    source: interval(found.right[i], subject.groups) for i, source in enumerate(found.sources)
                },
                "ties": float((two[:, :, 0] == two[:, :, 1]).mean()),
            }
        )
    return rows


def counts_and_aggregates(subject: Subject, counts: Sequence[int], distance: str) -> list[dict[str, Any]]:
    """A row for each γ and aggregate; for one generated image all aggregates are equal, so there is one row.

    `over_mean` is how much more often than the mean of as many generated images it is right, query by query.
    """
    rows = []
    for images_per_source in counts:
        reference = subject.rankings(distance, images_per_source).right
        for aggregate in Aggregate if images_per_source > 1 else (Aggregate.MEAN,):
            right = subject.rankings(distance, images_per_source, aggregate).right
            rows.append(
                {
                    "images_per_source": images_per_source,
                    "aggregate": aggregate.value,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, subject.groups),
                    "over_mean": float(right.mean() - reference.mean()),
                    "over_mean_interval_95": interval(right.astype(float) - reference, subject.groups),
                    "images": images_per_source * len(subject.features.sources),
                }
            )
    return rows


def seconds(
    dataset: Dataset, catalog: Catalog, embedder: str, placement: Placement, counts: Sequence[int], count: int
) -> dict[int, dict[str, float]]:
    """Seconds of a query by γ: generation, embedding and ranking of the first originals, without any cache.

    The caption is the dataset's; models are loaded before. Raises AttributionError where a source generated too few
    images.
    """
    pool = GeneratorPool(partial(build_generator, placement=placement), placement.memory_mb)
    generators = [pool.handle(catalog.get(source)) for source in dataset.sources]
    loaded = build_embedder(embedder, placement)
    queries = [item for item in dataset.items if item.source is None][:count]
    found: dict[int, dict[str, float]] = {}
    for images_per_source in (1, *counts):  # the first round loads and warms up
        spent = {"resynthesis": 0.0, "embedding": 0.0, "all": 0.0}
        for item in queries:
            image = load(dataset.directory / item.file).image
            started = time.monotonic()
            answer = attribute(
                image,
                captioner=FakeCaptioner(),
                generators=generators,
                embedder=loaded,
                distance=distance_named("cosine"),
                method=Method.COSINE,
                images_per_source=images_per_source,
                prompt=item.caption,
            )
            spent["all"] += time.monotonic() - started
            spent["resynthesis"] += answer.seconds["resynthesizing"]
            spent["embedding"] += answer.seconds["embedding"]
            if any(each.state is not SourceState.DONE for each in answer.resyntheses):
                raise AttributionError("Not every source generated: seconds would be too few.")
        found[images_per_source] = {name: value / len(queries) for name, value in spent.items()}
    return found


def embedders(
    directory: options.Directory,
    specs: Annotated[list[str], typer.Argument(metavar="EMBEDDER…", help="such as open_clip#layer=2 or onnx")],
    alike: options.Alike = False,
    distance: options.Distance = "cosine",
    images_per_source: Annotated[Counts, options.counts("γ")] = Counts((1,)),  # noqa: B008
    sources: options.Sources = None,
    sides: options.Sides = None,
    out: options.Out = None,
    markdown: Annotated[Path | None, typer.Option(help="a file for the printed table")] = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Compares the accuracy of feature spaces; docs/embedders.md lists embedders."""
    selection = QuerySelection(sources, [Side(side) for side in sides] if sides else None, alike=alike)
    rows: list[dict[str, Any]] = []
    first: dict[int, Any] = {}
    for spec in specs:
        embedder = build_embedder(spec, Placement(device, threads=threads))
        queries = open_queries(directory, embedder, Store(store), selection)
        groups = np.asarray(queries.groups)
        for count in images_per_source:
            found = answers(queries.features, distance, count)
            right = found == np.arange(len(found))[:, None]
            first.setdefault(count, found)
            rows.append(
                {
                    "embedder": str(embedder.ref),
                    "dimension": embedder.dimension,
                    "images_per_source": count,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, groups),
                    "same_answer_as_first": float((found == first[count]).mean()),
                }
            )
    table = tables.embedders(rows)
    print(table, end="\n\n")
    if markdown:
        write(markdown, (table + "\n").encode())
    about = {"dataset": directory.name, "distance": distance, "queries": int(found.size), "sources": len(found)}
    about |= form(directory, alike) | {"groups": len(set(queries.groups)), "rows": rows}
    save(out, about)
