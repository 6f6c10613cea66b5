"""`python -m evaluation t1 …`: one table for each number of classes, as Markdown on the terminal and as JSON."""

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError
from evaluation.baselines.crossing import said
from evaluation.dataset import MANIFEST, Dataset
from evaluation.features import Features
from evaluation.split import SEED
from evaluation.store import Store, digest
from evaluation.variants import show

_CLIP = "local-dir:zoo/models/clip"
Write = Callable[[Path | None, dict[str, Any]], None]


def add(
    commands: Any, measured: Callable[[argparse.ArgumentParser], None], read: Callable[..., Features], write: Write
) -> None:
    """Adds the command; `measured` adds what all have that read features, and `read` reads them."""
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    command = commands.add_parser("t1", help="accuracy of trained baselines against their shots per class; the plug-in")
    measured(command)
    command.add_argument("--classes", type=numbers, help="how many of the sources, from the first; default: all")
    command.add_argument("--shots", type=numbers, default=[1, 2, 3, 5, 8, 10, 20, 40, 80])
    command.add_argument("--repeats", type=int, default=5, help="splits along the character")
    command.add_argument(
        "--baselines", type=partial(str.split, sep=","), help="by name; default: all that this data has enough for"
    )
    command.add_argument("--clip", default=_CLIP, help="which CLIP-LoRA adapts and De-Fake reads captions with")
    command.add_argument("--efficientnet", type=Path, help="weights to start from; default: the Hugging Face cache's")
    command.add_argument("--steps", type=int, help="at most so many gradient steps a training; default: each its own")
    command.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="1 for a GPU")
    command.add_argument("--stored", action="store_true", help="train nothing: only what has been trained before")
    command.set_defaults(run=partial(_run, read, write), images_per_source=None)


def _run(read: Callable[..., Features], write: Write, options: argparse.Namespace) -> int:
    from evaluation.baselines.baseline import Images
    from evaluation.baselines.cells import Laboratory
    from evaluation.baselines.registry import baselines, chosen
    from evaluation.baselines.t1 import t1  # scikit-learn takes a second to load

    features = read(options)
    dataset = Dataset.open(options.directory) if (options.directory / MANIFEST).is_file() else None
    order = options.sources or features.sources
    (distance,) = options.distances or ["cosine"]
    store, runs = Store(options.store), []
    every = baselines(options.clip, options.efficientnet, store, options.device, options.steps)
    with Laboratory(store, 0 if options.stored else options.processes) as laboratory:
        for count in options.classes or [len(order)]:
            if not 2 <= count <= len(order):
                raise ConfigurationError(f"There are {len(order)} sources; {count} classes cannot be made of them.")
            part = features.of(order[:count])
            images = Images.of(part, dataset)
            learners = chosen(every, options.baselines, images)
            runs.append(t1(part, images, learners, laboratory, options.shots, options.repeats, distance))
            print(table(runs[-1]), show.external_scores(runs[-1]["plugin"]), sep="\n\n", end="\n\n")
    about = {
        "dataset": options.directory.name,
        "embedder": features.embedder,
        "python": platform.python_version(),
        "seeds": [SEED + repeat for repeat in range(options.repeats)],
        "processes": options.processes,
    }
    if dataset is not None:
        about["items_sha256"] = digest(options.directory / "items.jsonl")
    write(options.out, {"about": about, "runs": runs})
    return 0


def table(run: Mapping[str, Any]) -> str:
    """A row for each baseline, a column for each number of shots; in percent, with half the interval's width."""
    flat, lines = run["resynthesis"], []
    lines.append(f"{len(run['sources'])} classes, chance {100 * run['chance']:.1f} %; resynthesis {_cell(flat)} %\n")
    lines.append("| shots per class | " + " | ".join(map(str, run["shots"])) + " | crosses at |")
    lines.append("|---|" + "---:|" * (len(run["shots"]) + 1))
    for name, curve in run["curves"].items():
        cells = [_cell(point) if point else "" for point in curve]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {said(run, name)} |")
    return "\n".join(lines)


def _cell(point: Mapping[str, Any]) -> str:
    low, high = point["interval_95"]
    return f"{100 * point['accuracy']:.1f} ± {50 * (high - low):.1f}"
