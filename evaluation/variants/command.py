"""`python -m evaluation variants …`: one table each, as Markdown on the terminal and as JSON with `--out`."""

import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from attribution.build import Placement, build_embedder
from attribution.catalog import load_catalog
from evaluation import options, tables
from evaluation.dataset import Dataset
from evaluation.options import Counts
from evaluation.provenance import save
from evaluation.real import form, is_dataset
from evaluation.store import Store, digest
from evaluation.variants.comparisons import counts_and_aggregates, distances, embedders, seconds
from evaluation.variants.subject import Subject

variants = typer.Typer(help="Variants of the method side by side.", no_args_is_help=True)


def add(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(variants, name="variants")
    app.command("embedders")(embedders)


@variants.command("distances")
def _distances(
    directory: options.Directory,
    alike: options.Alike = False,
    embedder: options.Embedder = options.EMBEDDER,
    images_per_source: options.ImagesPerSource = 1,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Compares every distance on the same generated images."""
    subject = _open(directory, alike, embedder, store, Placement(device, threads=threads))
    about = _about(subject, directory, alike)
    rows = distances(subject, images_per_source)
    print(tables.distances(rows), end="\n\n")
    save(out, {"about": about, "images_per_source": images_per_source, "rows": rows})


@variants.command("images-per-source")
def _images_per_source(
    directory: options.Directory,
    alike: options.Alike = False,
    embedder: options.Embedder = options.EMBEDDER,
    distance: options.Distance = "cosine",
    images_per_source: Annotated[Counts | None, options.counts("γ; default: 1,2,4,8")] = None,
    timed: Annotated[int, typer.Option(min=0, help="queries to generate anew, to measure the time")] = 0,
    catalog: options.Catalog = options.CATALOG_DEFAULT,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Compares γ and aggregates, with the cost of a query."""
    placement = Placement(device, threads=threads)
    subject = _open(directory, alike, embedder, store, placement)
    about = _about(subject, directory, alike)
    counts = images_per_source or [count for count in (1, 2, 4, 8) if count <= subject.features.images_per_source]
    rows = counts_and_aggregates(subject, counts, distance)
    spent: dict[int, dict[str, float]] = {}
    if timed:
        spent = seconds(Dataset.open(directory), load_catalog(catalog), embedder, placement, counts, timed)
    print(tables.images_per_source(rows, spent), end="\n\n")
    save(out, {"about": about, "distance": distance, "rows": rows, "seconds": spent, "timed": timed})


@variants.command("external-scores")
def _external_scores(
    directory: options.Directory,
    alike: options.Alike = False,
    embedder: options.Embedder = options.EMBEDDER,
    distance: options.Distance = "cosine",
    images_per_source: options.ImagesPerSource = 1,
    shots: Annotated[Counts, options.counts("images of each source to train on")] = Counts((1, 5, 10)),  # noqa: B008
    shot_choices: Annotated[int, typer.Option(min=1, help="random choices of these images")] = 20,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Fuses another method's scores with ours; chooses MODELS__FUSION_WEIGHT."""
    from evaluation.variants.external_scores import external_scores  # scikit-learn takes a second to load

    subject = _open(directory, alike, embedder, store, Placement(device, threads=threads))
    about = _about(subject, directory, alike)
    rows = external_scores(subject, shots, distance, images_per_source, shot_choices)
    print(tables.external_scores(rows), end="\n\n")
    weight = sum(row["weight"] for row in rows) / len(rows)
    print(f"The weight chosen on other queries is {weight:.2f} on average.\n")
    setting = {"distance": distance, "images_per_source": images_per_source, "shot_choices": shot_choices}
    save(out, {"about": about, **setting, "weight": weight, "rows": rows})


def _open(directory: Path, alike: bool, embedder: str, store: Path, placement: Placement) -> Subject:
    loaded = build_embedder(embedder, placement)
    if is_dataset(directory, alike):
        return Subject.of_dataset(Dataset.open(directory), loaded, Store(store))
    return Subject.of_gallery(directory, loaded, Store(store), alike)


def _about(subject: Subject, directory: Path, alike: bool) -> dict[str, Any]:
    """Prints and returns what is measured."""
    features = subject.features
    about: dict[str, Any] = {
        "subject": subject.name,
        "embedder": features.embedder,
        "sources": list(features.sources),
        "queries": features.originals.shape[0] * features.originals.shape[1],
        "intervals_over": subject.over,
        "python": platform.python_version(),
        **form(directory, alike),
    }
    if is_dataset(directory, alike):
        about["items_sha256"] = digest(directory / "items.jsonl")
    about["groups"] = len(set(subject.groups.tolist()))
    print(
        f"{subject.name}: {len(features.sources)} sources, {about['queries']} queries, {features.embedder}; "
        f"intervals over {about['groups']} {subject.over}\n"
    )
    return about
