"""`python -m evaluation variants …`: one table each, as Markdown on the terminal and as JSON with `--out`."""

import argparse
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from attribution.build import Placement, build_embedder
from attribution.catalog import load_catalog
from attribution.distance import DISTANCES
from evaluation.alike import HELP
from evaluation.dataset import Dataset
from evaluation.real import form, is_dataset
from evaluation.store import Store, digest
from evaluation.variants import show
from evaluation.variants.distances import distances
from evaluation.variants.images_per_source import generated_images, seconds
from evaluation.variants.subject import Subject

Write = Callable[[Path | None, dict[str, Any]], None]


def add(commands: Any, embedder: str, models: Callable[[argparse.ArgumentParser], None], write: Write) -> None:
    """Adds the commands."""
    variants = commands.add_parser("variants", help="variants of the method side by side").add_subparsers(required=True)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    for name, run, says in (
        ("distances", _distances, "every distance on the same generated images"),
        ("images_per_source", _candidates, "γ and aggregates, with what a query costs"),
        ("external_scores", _prior, "another method's scores fused with ours; chooses MODELS__FUSION_WEIGHT"),
    ):
        command = variants.add_parser(name, help=says)
        command.add_argument("directory", type=Path, help="a dataset, or a folder of MODEL/PROMPT__NUMBER.png")
        command.add_argument("--alike", action="store_true", help=HELP)
        command.add_argument("--embedder", default=embedder)
        command.add_argument("--out", type=Path, help="JSON; default: printed")
        models(command)
        if name == "images_per_source":
            command.add_argument("--images-per-source", type=numbers, help="γ, separated by commas; default: 1,2,4,8")
            command.add_argument(
                "--timed", type=int, default=0, help="queries that are generated anew to take the time"
            )
            command.add_argument("--catalogue", type=Path, nargs="+", default=[Path("sources")])
        else:
            command.add_argument("--images-per-source", type=int, default=1, help="γ")
        if name != "distances":
            command.add_argument("--distance", default="cosine", choices=list(DISTANCES))
        if name == "external_scores":
            command.add_argument("--shots", type=numbers, default=[1, 5, 10], help="images of each source to train on")
            command.add_argument("--draws", type=int, default=20, help="choices of these images")
        command.set_defaults(run=partial(_run, run, write))


def _run(measure: Callable[..., dict[str, Any]], write: Write, options: argparse.Namespace) -> int:
    store = Store(options.store)
    embedder = build_embedder(options.embedder, Placement(options.device, threads=options.threads))
    made = is_dataset(options.directory, options.alike)
    subject = (
        Subject.of_dataset(Dataset.open(options.directory), embedder, store)
        if made
        else Subject.of_gallery(options.directory, embedder, store, options.alike)
    )
    features = subject.features
    about = {
        "subject": subject.name,
        "embedder": features.embedder,
        "sources": list(features.sources),
        "queries": features.originals.shape[0] * features.originals.shape[1],
        "intervals_over": subject.over,
        "python": platform.python_version(),
        **form(options.directory, options.alike),
    }
    if made:
        about["items_sha256"] = digest(options.directory / "items.jsonl")
    groups = len(set(subject.groups.tolist()))
    print(
        f"{subject.name}: {len(features.sources)} sources, {about['queries']} queries, {features.embedder}; "
        f"intervals over {groups} {subject.over}\n"
    )
    write(options.out, {"about": about | {"groups": groups}, **measure(subject, options)})
    return 0


def _distances(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    rows = distances(subject, options.images_per_source)
    print(show.distances(rows), end="\n\n")
    return {"images_per_source": options.images_per_source, "rows": rows}


def _candidates(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    most = subject.features.images_per_source
    counts = options.images_per_source or [count for count in (1, 2, 4, 8) if count <= most]
    rows = generated_images(subject, counts, options.distance)
    spent: dict[int, dict[str, float]] = {}
    if options.timed:
        placement = Placement(options.device, threads=options.threads)
        dataset, catalog = Dataset.open(options.directory), load_catalog(options.catalog)
        spent = seconds(dataset, catalog, options.embedder, placement, counts, options.timed)
    print(show.generated_images(rows, spent), end="\n\n")
    return {"distance": options.distance, "rows": rows, "seconds": spent, "timed": options.timed}


def _prior(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    from evaluation.variants.external_scores import external_scores  # scikit-learn takes a second to load

    rows = external_scores(subject, options.shots, options.distance, options.images_per_source, options.generates)
    print(show.external_scores(rows), end="\n\n")
    weight = sum(row["weight"] for row in rows) / len(rows)
    print(f"The weight chosen on other queries is {weight:.2f} on average.\n")
    setting = {
        "distance": options.distance,
        "images_per_source": options.images_per_source,
        "generates": options.generates,
    }
    return setting | {"weight": weight, "rows": rows}
