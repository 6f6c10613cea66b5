"""`python -m evaluation …`: make or import a dataset, evaluate the method on it, calibrate the service with it.

Errors are one sentence on stderr; the exit code is 2 where an option, a file or a source is at fault, and 1 where a
check that was asked for fails.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from attribution.build import Placement, build_embedder
from attribution.catalog import Catalog, load_catalog
from attribution.distance import PAIRWISE
from attribution.errors import AttributionError
from attribution.ports import Aggregate
from evaluation import distortions, examples, publication, spaces, text_report
from evaluation.baselines import command as baselines
from evaluation.calibrate import asked, entry, judged, leave_one_out, left_out, with_intervals
from evaluation.captions import command as captions
from evaluation.characters import cast
from evaluation.dataset import Dataset
from evaluation.evaluate import Rankings, evaluate, rankings
from evaluation.features import Features, embed, published
from evaluation.generation import GenerationPool, ModelSet
from evaluation.import_images import import_images
from evaluation.make import DatasetRecipe, make
from evaluation.output import save, save_plain
from evaluation.paths import MODELS, STORE
from evaluation.plan import command as plan
from evaluation.provenance import running, weights
from evaluation.report import command as report
from evaluation.split import Side
from evaluation.store import Store, digest
from evaluation.variants import command as variants
from zoo.captions import Split

_EMBEDDER = "open_clip:local-dir:zoo/models/clip"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with running(sys.argv[1:] if arguments is None else arguments):
            return int(options.run(options))
    except (AttributionError, OSError, ValueError) as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return 2


def _make(options: argparse.Namespace) -> int:
    catalog = load_catalog(options.catalog)
    extension = _named(options.extension, catalog)
    core = catalog.select(_named(options.sources, catalog) if options.sources else None, extension)
    if options.sources is None:
        core = tuple(source for source in core if source.is_local)
    later = tuple(catalog.get(name) for name in extension)
    characters = cast(options.characters, Split(options.split), options.seed)
    recipe = DatasetRecipe(
        characters, core, later, options.images_per_source, options.captioner, options.split, options.seed
    )
    if options.sides:
        recipe = replace(recipe, only=tuple(Side(side) for side in options.sides))
    placement = Placement(options.device, options.dtype, batch_size=options.batch, threads=options.threads)
    equipment = ModelSet(tuple(options.catalog), options.store, options.captioner, placement)
    with GenerationPool(equipment, options.processes) as studio:
        dataset = make(recipe, studio, options.directory)
    found = dataset.manifest
    print(f"{found['originals']} originals and {found['resyntheses']} resyntheses in {dataset.directory}")
    print(json.dumps(found["last_run"]))
    if options.out:
        save(options.out, {"dataset": dataset.directory.name, **found, "weights": weights(MODELS)})
    return 0


def _named(patterns: Sequence[str], catalog: Catalog) -> list[str]:
    """Ids, where patterns such as zoo-* stand for all they fit; what fits nothing stays, to be refused by name."""
    ids = [source.id for source in catalog.sources]
    found = [[name for name in ids if fnmatchcase(name, pattern)] or [pattern] for pattern in patterns]
    return list(dict.fromkeys(name for names in found for name in names))


def _check(options: argparse.Namespace) -> int:
    dataset = Dataset.open(options.directory)
    problems = list(dataset.problems())
    print("\n".join(problems) or f"{len(dataset.items)} images; every character is on one side, no seed serves twice")
    return 1 if problems else 0


def _import_images(options: argparse.Namespace) -> int:
    dataset = import_images(options.folder, options.directory, tuple(options.sources) if options.sources else None)
    found = dataset.manifest
    print(f"{len(found['characters'])} characters, {found['originals']} originals, {found['resyntheses']} resyntheses")
    return 0


def _import_features(options: argparse.Namespace) -> int:
    found = publication.read(options.folder, options.sources)
    subset = None if options.subset == "all" else Side(options.subset)
    reports = []
    for transform in options.transforms or found.originals:
        if transform not in found.originals:
            raise AttributionError(
                f"There are no originals with {transform!r}; there are {', '.join(found.originals)}."
            )
        for distance in options.distances or PAIRWISE:
            reports.append(publication.report(found, transform, distance, subset))
            print(text_report.published(reports[-1]))
    save(options.out, {"sources": list(found.sources), "runs": reports})
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    features = _features(options)
    calibration = _thresholds(options.calibration)
    reports = []
    for distance in options.distances or ["cosine"]:
        for images_per_source in _counts(options, features):
            found = rankings(features, distance, images_per_source, Aggregate(options.aggregate))
            setting = {"embedder": features.embedder, "distance": distance, "images_per_source": images_per_source}
            setting["aggregate"] = options.aggregate
            report = {**setting, **evaluate(found, options.repeats)}
            print(text_report.evaluation(report), end="\n\n")
            if len(found.sources) > 2:
                report["leave_one_out"] = with_intervals(leave_one_out(found), found)
                print(text_report.leave_one_out(report["leave_one_out"]), end="\n\n")
                report["verdict"] = _verdict(found, setting, dict(features.revisions), calibration)
            reports.append(report)
    passed = all(report["p_value"] < 0.001 and report["accuracy"] < 0.95 for report in reports)
    save(options.out, {"dataset": options.directory.name, "neither_chance_nor_trivial": passed, "runs": reports})
    return 1 if options.check and not passed else 0


def _verdict(
    found: Rankings, setting: dict[str, Any], revisions: dict[str, str], calibration: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """What a calibration's thresholds do on this data, where it has some for exactly this setting."""
    wanted = {**setting, "sources": revisions}
    if setting["images_per_source"] == 1:  # all aggregates are the same
        del wanted["aggregate"]
    for known in calibration:
        if {"aggregate": Aggregate.MEAN.value, **known}.items() >= wanted.items():
            pair = judged((known["max_distance"], known["min_margin"]), asked(found), left_out(found))
            print(
                f"  verdict   names {100 * pair.named:.1f} %, of these {100 * pair.precision:.1f} % rightly;"
                f" of queries whose source is left out {100 * pair.left_out_named:.1f} %\n"
            )
            return {
                "coverage": pair.named,
                "precision_among_attributed": pair.precision,
                "left_out_attributed": pair.left_out_named,
            }
    return None


def _calibrate(options: argparse.Namespace) -> int:
    features = _features(options)
    if len(features.sources) < 3:
        raise AttributionError("Leaving one source out needs three sources: two must be left to have a margin.")
    entries = []
    for distance in options.distances or ["cosine"]:
        for images_per_source in _counts(options, features):
            found = rankings(features, distance, images_per_source, Aggregate(options.aggregate))
            entries.append(entry(found, features.embedder, distance, images_per_source, dict(features.revisions)))
            if options.aggregate != Aggregate.MEAN:
                entries[-1]["aggregate"] = options.aggregate
            print(text_report.threshold(entries[-1]))
            print(text_report.leave_one_out(leave_one_out(found)), end="\n\n")
    about = {"name": options.directory.name, "characters": len(features.characters), "sides": options.sides or ["all"]}
    if (options.directory / "manifest.json").is_file():
        about["items_sha256"] = digest(options.directory / "items.jsonl")
    save_plain(options.out, {"schema": 1, "dataset": about, "entries": entries})  # named by its hash in verdicts
    return 0


def _features(options: argparse.Namespace) -> Features:
    sides = [Side(side) for side in options.sides] if options.sides else None
    if (options.directory / publication.RESYNTHESES).is_file():
        found = publication.read(options.directory)
        return published(found.originals["plain"], found.resyntheses, found.sources).of(options.sources, sides)
    dataset = Dataset.open(options.directory)
    embedder = build_embedder(options.embedder, Placement(options.device, threads=options.threads))
    return embed(dataset, embedder, Store(options.store)).of(options.sources, sides)


def _counts(options: argparse.Namespace, features: Features) -> list[int]:
    counts = options.images_per_source or [features.images_per_source]
    if max(counts) > features.images_per_source:
        raise AttributionError(
            f"The dataset has {features.images_per_source} generated images of each; γ = {max(counts)} needs more."
        )
    return list(counts)


def _thresholds(path: Path | None) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(path.read_text())["entries"] if path else []
    return entries


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m evaluation", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    names = partial(str.split, sep=",")
    numbers = lambda text: [_positive(part) for part in text.split(",")]  # noqa: E731

    dataset = commands.add_parser("dataset", help="make a dataset, or check one").add_subparsers(required=True)
    made = dataset.add_parser("make", help="generate, caption and generate again; goes on where it was interrupted")
    made.add_argument("directory", type=Path)
    made.add_argument("--characters", type=_positive, default=100)
    made.add_argument("--split", choices=[str(split) for split in Split], default="test", help="of the zoo's captions")
    made.add_argument(
        "--sources", type=names, help="ids or patterns (zoo-*), separated by commas; default: all enabled local ones"
    )
    made.add_argument("--extension", type=names, default=[], help="ids that generate the test characters only")
    made.add_argument("--sides", type=names, help="only these of the characters: train, test, validation; default: all")
    made.add_argument("--images-per-source", type=_positive, default=1, help="generated images per source (γ)")
    made.add_argument(
        "--captioner", default="blip:zoo/models/captioner", help="or 'given': the descriptions themselves"
    )
    made.add_argument("--seed", type=int, default=0, help="other characters, other originals")
    made.add_argument("--catalog", type=Path, nargs="+", default=[Path("sources")], help="directories of *.toml")
    made.add_argument("--processes", type=_positive, default=os.cpu_count() or 1, help="1 for a GPU")
    made.add_argument("--out", type=Path, help="JSON of what it is made of, with the hashes of all weights")
    made.add_argument("--batch", type=_positive, default=8, help="images of one source generated at once")
    made.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
    _models(made)
    made.set_defaults(run=_make)
    checked = dataset.add_parser("check", help="no character on both sides, no seed twice, every image as generated")
    checked.add_argument("directory", type=Path)
    checked.set_defaults(run=_check)

    imports = commands.add_parser("import", help="read what the papers' authors publish").add_subparsers(required=True)
    images = imports.add_parser("images", help="images in the published layout become a dataset")
    images.add_argument("folder", type=Path, help="with images/ and perhaps expansion_images/")
    images.add_argument("directory", type=Path)
    images.add_argument("--sources", type=names, help="in the order that decides ties; default: the published one")
    images.set_defaults(run=_import_images)
    features = imports.add_parser("features", help="the published scripts' figures from their feature files")
    features.add_argument("folder", type=Path, help="with clip_features.npy and clip_references_features*.npy")
    features.add_argument("--sources", type=names, help="names along the axes; default: the published ones")
    features.add_argument("--distances", type=names, help="default: all four")
    features.add_argument("--transforms", type=names, help="plain, jpeg, …; default: all that are there")
    features.add_argument("--subset", choices=["all", "test", "validation", "train"], default="all")
    features.add_argument("--out", type=Path, help="JSON with predictions; default: printed")
    features.set_defaults(run=_import_features)

    measured = partial(_measured, names)
    for name, run, says in (
        ("evaluate", _evaluate, "accuracy, interval, p-value, confusion matrix, leave-one-source-out"),
        ("calibrate", _calibrate, "thresholds of the verdict, for MODELS__CALIBRATIONS"),
    ):
        command = commands.add_parser(name, help=says)
        measured(command)
        command.add_argument(
            "--images-per-source", type=numbers, help="γ, separated by commas; default: all generated images"
        )
        command.add_argument(
            "--aggregate", default="mean", choices=list(Aggregate), help="of a source's generated images"
        )
        command.set_defaults(run=run)
        if name == "evaluate":
            command.add_argument("--repeats", type=_positive, default=20, help="splits")
            command.add_argument("--calibration", type=Path, help="also say what these thresholds do here")
            command.add_argument("--check", action="store_true", help="fail unless p < 0.001 and accuracy < 95 %%")
    variants.add(commands, _EMBEDDER, _models, save)
    captions.add(commands, _EMBEDDER, _models, save)
    distortions.add(commands, _EMBEDDER, _models)
    spaces.add(commands, _models)
    baselines.add(commands, measured, _features, save)
    examples.add(commands, _EMBEDDER, _models, save)
    plan.add(commands, main)
    report.add(commands)
    return parser


def _measured(names: Callable[[str], list[str]], parser: argparse.ArgumentParser) -> None:
    """What all commands take that measure something on features."""
    parser.add_argument("directory", type=Path, help="a dataset, or a folder of published feature files")
    parser.add_argument("--embedder", default=_EMBEDDER)
    parser.add_argument("--distances", type=names, help="default: cosine")
    parser.add_argument("--sources", type=names, help="only these")
    parser.add_argument("--sides", type=names, help="train, test, validation; default: all characters")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    _models(parser)


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, default=STORE, help="where everything expensive is kept")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


if __name__ == "__main__":
    sys.exit(main())
