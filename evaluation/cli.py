"""The command line of the evaluation: make or import a dataset, evaluate the method on it, calibrate the service.

Errors are one sentence on stderr. The exit code is 2 where an option, a file or a source is at fault, and 1 where a
check fails.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from attribution.build import Placement
from attribution.catalog import Catalog, load_catalog
from attribution.distance import PAIRWISE
from attribution.errors import AttributionError
from attribution.ports import Aggregate
from evaluation import examples, options, publication, tables
from evaluation.answer import command as answers
from evaluation.baselines import command as baselines
from evaluation.calibrate import all_candidates, entry, judged, leave_one_out, left_out, with_intervals
from evaluation.captions import command as captions
from evaluation.characters import Side, select_characters
from evaluation.dataset import Dataset
from evaluation.distort import command as distortions
from evaluation.evaluate import Rankings, evaluate, rankings
from evaluation.features import Features, read_features
from evaluation.generation import GenerationPool, ModelSet
from evaluation.import_images import import_images
from evaluation.make import DatasetRecipe, make
from evaluation.options import Counts, Names
from evaluation.plan import command as plan
from evaluation.provenance import running, save, save_plain, weights
from evaluation.report import command as report
from evaluation.store import MODELS, digest
from evaluation.variants import command as variants
from zoo.captions import Split

_ARGUMENTS = "evaluation.arguments"
_COSINE = Names(("cosine",))
_AggregateOption = Annotated[Aggregate, typer.Option(help="of a source's images")]


class _EvaluationGroup(TyperGroup):
    """Records the arguments for the results' provenance; an error becomes one sentence and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with running(ctx.meta[_ARGUMENTS]):
            try:
                return super().invoke(ctx)
            except (AttributionError, OSError, ValueError) as error:
                print(f"evaluation: {error}", file=sys.stderr)
                raise typer.Exit(2) from error


_PLAIN: dict[str, Any] = {"no_args_is_help": True, "add_completion": False, "pretty_exceptions_enable": False}
app = typer.Typer(cls=_EvaluationGroup, help="Datasets, evaluation, calibration, and the papers' benchmark.", **_PLAIN)
_dataset = typer.Typer(help="Make a dataset, or check one.", **_PLAIN)
_import = typer.Typer(help="Read what the papers' authors publish.", **_PLAIN)
app.add_typer(_dataset, name="dataset")
app.add_typer(_import, name="import")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code."""
    try:
        app(arguments, prog_name="python -m evaluation")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@_dataset.command("make")
def _make(
    directory: Path,
    characters: Annotated[int, typer.Option(min=1)] = 100,
    split: Annotated[Split, typer.Option(help="of the demo models' captions")] = Split.TEST,
    sources: Annotated[Names | None, options.names("ids or patterns (zoo-*); default: all enabled local ones")] = None,
    extension: Annotated[Names, options.names("ids of sources that have test characters only")] = Names(),  # noqa: B008
    sides: options.Sides = None,
    images_per_source: options.ImagesPerSource = 1,
    captioner: Annotated[
        str, typer.Option(help="or 'given': the descriptions themselves")
    ] = "blip:zoo/models/captioner",
    seed: Annotated[int, typer.Option(help="other characters, other originals")] = 0,
    catalog: options.Catalog = options.CATALOG_DEFAULT,
    processes: options.Processes = options.CPUS,
    out: Annotated[Path | None, typer.Option(help="JSON of the manifest, with the hashes of all weights")] = None,
    batch: Annotated[int, typer.Option(min=1, help="images of one source in one batch")] = 8,
    dtype: Annotated[Literal["float32", "float16", "bfloat16"] | None, typer.Option()] = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Generates originals, captions and resyntheses; continues where it was interrupted."""
    entries = load_catalog(catalog)
    later = _named(extension, entries)
    core = entries.select(_named(sources, entries) if sources else None, later)
    if sources is None:
        core = tuple(source for source in core if source.platform == "local")
    recipe = DatasetRecipe(
        select_characters(characters, split, seed),
        core,
        tuple(entries.get(name) for name in later),
        images_per_source,
        captioner,
        str(split),
        seed,
    )
    if sides:
        recipe = replace(recipe, only=tuple(Side(side) for side in sides))
    placement = Placement(device, dtype, batch_size=batch, threads=threads)
    with GenerationPool(ModelSet(tuple(catalog), store, captioner, placement), processes) as pool:
        dataset = make(recipe, pool, directory)
    found = dataset.manifest
    print(f"{found['originals']} originals and {found['resyntheses']} resyntheses in {dataset.directory}")
    print(json.dumps(found["last_run"]))
    if out:
        save(out, {"dataset": dataset.directory.name, **found, "weights": weights(MODELS)})


def _named(patterns: Sequence[str], catalog: Catalog) -> list[str]:
    """Ids that match the patterns; a pattern without a match stays, so that the catalog refuses it by name."""
    ids = [source.id for source in catalog.sources]
    found = [[name for name in ids if fnmatchcase(name, pattern)] or [pattern] for pattern in patterns]
    return list(dict.fromkeys(name for names in found for name in names))


@_dataset.command("check")
def _check(directory: Path) -> None:
    """Checks that no character is on two sides, no seed is used twice, and every image is as generated."""
    dataset = Dataset.open(directory)
    problems = list(dataset.problems())
    print("\n".join(problems) or f"{len(dataset.items)} images; every character is on one side, no seed is used twice")
    raise typer.Exit(1 if problems else 0)


@_import.command("images")
def _import_images(
    folder: Annotated[Path, typer.Argument(help="with images/ and perhaps expansion_images/")],
    directory: Path,
    sources: Annotated[Names | None, options.names("in the order that decides ties; default: the published")] = None,
) -> None:
    """Makes a dataset of images in the published layout."""
    found = import_images(folder, directory, sources).manifest
    print(f"{len(found['characters'])} characters, {found['originals']} originals, {found['resyntheses']} resyntheses")


@_import.command("features")
def _import_features(
    folder: Annotated[Path, typer.Argument(help="with clip_features.npy and clip_references_features*.npy")],
    sources: Annotated[Names | None, options.names("names along the axes; default: the published ones")] = None,
    distances: Annotated[Names | None, options.names("default: all four")] = None,
    transforms: Annotated[Names | None, options.names("plain, jpeg, …; default: all that exist")] = None,
    subset: Literal["all", "test", "validation", "train"] = "all",
    out: options.Out = None,
) -> None:
    """Prints the published scripts' figures from their feature files."""
    found = publication.read(folder, sources)
    reports = []
    for transform in transforms or found.originals:
        if transform not in found.originals:
            raise AttributionError(
                f"There are no originals with {transform!r}; there are {', '.join(found.originals)}."
            )
        for distance in distances or PAIRWISE:
            side = None if subset == "all" else Side(subset)
            reports.append(publication.report(found, transform, distance, side))
            print(tables.published(reports[-1]))
    save(out, {"sources": list(found.sources), "runs": reports})


@app.command("evaluate")
def _evaluate(
    directory: options.FeatureDirectory,
    embedder: options.Embedder = options.EMBEDDER,
    distances: options.Distances = _COSINE,
    sources: options.Sources = None,
    sides: options.Sides = None,
    images_per_source: Annotated[Counts | None, options.counts("γ; default: all generated images")] = None,
    aggregate: _AggregateOption = Aggregate.MEAN,
    repeats: Annotated[int, typer.Option(min=1, help="splits")] = 20,
    calibration: Annotated[Path | None, typer.Option(help="also report what these thresholds do here")] = None,
    check: Annotated[bool, typer.Option("--check", help="fail unless p < 0.001 and accuracy < 95 %")] = False,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Measures accuracy, interval, p-value, confusion matrix, and leave-one-source-out."""
    features = read_features(directory, embedder, Placement(device, threads=threads), store, sources, sides)
    thresholds = json.loads(calibration.read_text())["entries"] if calibration else []
    reports = []
    for distance in distances:
        for count in _counts(images_per_source, features):
            found = rankings(features, distance, count, aggregate)
            setting = {"embedder": features.embedder, "distance": distance, "images_per_source": count}
            setting["aggregate"] = aggregate.value
            result = {**setting, **evaluate(found, repeats)}
            print(tables.evaluation(result), end="\n\n")
            if len(found.sources) > 2:
                result["leave_one_out"] = with_intervals(leave_one_out(found), found)
                print(tables.leave_one_out(result["leave_one_out"]), end="\n\n")
                result["verdict"] = _verdict(found, setting, dict(features.revisions), thresholds)
            reports.append(result)
    passed = all(result["p_value"] < 0.001 and result["accuracy"] < 0.95 for result in reports)
    save(out, {"dataset": directory.name, "neither_chance_nor_trivial": passed, "runs": reports})
    raise typer.Exit(1 if check and not passed else 0)


def _verdict(
    found: Rankings, setting: dict[str, Any], revisions: dict[str, str], calibration: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """What a calibration's thresholds do on this data, if it has some for exactly this setting."""
    wanted = {**setting, "sources": revisions}
    if setting["images_per_source"] == 1:  # all aggregates are the same
        del wanted["aggregate"]
    for known in calibration:
        if {"aggregate": Aggregate.MEAN.value, **known}.items() >= wanted.items():
            pair = judged((known["max_distance"], known["min_margin"]), all_candidates(found), left_out(found))
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


@app.command("calibrate")
def _calibrate(
    directory: options.FeatureDirectory,
    embedder: options.Embedder = options.EMBEDDER,
    distances: options.Distances = _COSINE,
    sources: options.Sources = None,
    sides: options.Sides = None,
    images_per_source: Annotated[Counts | None, options.counts("γ; default: all generated images")] = None,
    aggregate: _AggregateOption = Aggregate.MEAN,
    out: options.Out = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Measures thresholds of the verdict, for MODELS__CALIBRATIONS."""
    features = read_features(directory, embedder, Placement(device, threads=threads), store, sources, sides)
    if len(features.sources) < 3:
        raise AttributionError("Leaving one source out needs three sources: a margin needs two.")
    entries = []
    for distance in distances:
        for count in _counts(images_per_source, features):
            found = rankings(features, distance, count, aggregate)
            entries.append(entry(found, features.embedder, distance, count, dict(features.revisions)))
            if aggregate is not Aggregate.MEAN:
                entries[-1]["aggregate"] = aggregate.value
            print(tables.threshold(entries[-1]))
            print(tables.leave_one_out(leave_one_out(found)), end="\n\n")
    about = {"name": directory.name, "characters": len(features.characters), "sides": list(sides or ["all"])}
    if (directory / "manifest.json").is_file():
        about["items_sha256"] = digest(directory / "items.jsonl")
    save_plain(out, {"schema": 1, "dataset": about, "entries": entries})  # verdicts name it by its hash


def _counts(chosen: Sequence[int] | None, features: Features) -> list[int]:
    counts = chosen or [features.images_per_source]
    if max(counts) > features.images_per_source:
        raise AttributionError(
            f"The dataset has {features.images_per_source} generated images of each; γ = {max(counts)} needs more."
        )
    return list(counts)


variants.add(app)
app.command("captions")(captions.captions)
app.command("distortions")(distortions.distortions)
app.command("t1")(baselines.t1)
app.command("examples")(examples.command)
plan.add(app, main)
app.command("report")(report.command)
app.command("answer")(answers.answer_command)
app.command("bank")(answers.make_bank)
