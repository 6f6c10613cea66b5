"""`python -m evaluation t1 …`: one table for each number of classes, as Markdown on the terminal and as JSON."""

import platform
from pathlib import Path
from typing import Annotated

import typer

from attribution.build import Placement
from attribution.errors import ConfigurationError
from evaluation import options, tables
from evaluation.characters import SEED
from evaluation.dataset import MANIFEST, Dataset
from evaluation.features import read_features
from evaluation.options import Counts, Names
from evaluation.provenance import save
from evaluation.store import Store, digest

_SHOTS = Counts((1, 2, 3, 5, 8, 10, 20, 40, 80))


def t1(
    directory: options.FeatureDirectory,
    embedder: options.Embedder = options.EMBEDDER,
    distance: options.Distance = "cosine",
    sources: options.Sources = None,
    sides: options.Sides = None,
    classes: Annotated[Counts | None, options.counts("numbers of sources, from the first; default: all")] = None,
    shots: Annotated[Counts, options.counts("training images of each source")] = _SHOTS,
    repeats: Annotated[int, typer.Option(min=1, help="splits along the character")] = 5,
    learners: Annotated[
        Names | None,
        typer.Option("--baselines", parser=Names.parse, metavar="A,B,…", help="default: all that fit this data"),
    ] = None,
    clip: Annotated[str, typer.Option(help="CLIP-LoRA adapts it; De-Fake reads captions with it")] = options.CLIP,
    efficientnet: Annotated[
        Path | None, typer.Option(help="weights to start from; default: those in the Hugging Face cache")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="gradient steps of a training at most; default: each baseline's own")
    ] = None,
    processes: options.Processes = options.CPUS,
    stored: Annotated[bool, typer.Option("--stored", help="train nothing: use only stored results")] = False,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Measures trained baselines against their shots per class, and what fusion with resynthesis gains."""
    from evaluation.baselines.baseline import Images  # scikit-learn takes a second to load
    from evaluation.baselines.cells import CellRunner
    from evaluation.baselines.registry import baselines, chosen
    from evaluation.baselines.t1 import t1 as measure

    features = read_features(directory, embedder, Placement(device, threads=threads), store, sources, sides)
    dataset = Dataset.open(directory) if (directory / MANIFEST).is_file() else None
    order = sources or features.sources
    kept, runs = Store(store), []
    every = baselines(clip, efficientnet, kept, device, steps)
    with CellRunner(kept, 0 if stored else processes) as runner:
        for count in classes or [len(order)]:
            if not 2 <= count <= len(order):
                raise ConfigurationError(f"There are {len(order)} sources, not enough for {count} classes.")
            part = features.of(order[:count])
            images = Images.of(part, dataset)
            runs.append(measure(part, images, chosen(every, learners, images), runner, shots, repeats, distance))
            print(tables.t1(runs[-1]), tables.external_scores(runs[-1]["plugin"]), sep="\n\n", end="\n\n")
    about = {
        "dataset": directory.name,
        "embedder": features.embedder,
        "python": platform.python_version(),
        "seeds": [SEED + repeat for repeat in range(repeats)],
        "processes": processes,
    }
    if dataset is not None:
        about["items_sha256"] = digest(directory / "items.jsonl")
    save(out, {"about": about, "runs": runs})
