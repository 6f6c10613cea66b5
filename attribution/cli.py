"""The command line of the method, without service, queue or database: `attribute`, `evidence`, `sources …`,
`export-onnx` and `known-answers`.

`python -m attribution` runs it, and the command `whodrew` includes it. Errors are one sentence on stderr. The exit code
is 2 if the image, an option or the configuration is wrong.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from attribution.bank import Bank
from attribution.bank.files import load_banks
from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.caption import describe
from attribution.caption.spec import SHIPPED, parse
from attribution.catalog import Catalog, Source, load_catalog
from attribution.distance import distance_named
from attribution.embed.stage import feature_space
from attribution.errors import ConfigurationError, ImageError, UnknownSource
from attribution.evidence.credentials import read_trust_lists
from attribution.evidence.finding import documents
from attribution.evidence.read import read
from attribution.evidence.watermark import watermark
from attribution.image import ImageLimits, load
from attribution.known_answers.command import app as known_answers_app
from attribution.method import attribute
from attribution.output import as_document, as_table, evidence_line, exit_on_error, quality_lines, verdict_line
from attribution.ports import (
    FUSION_WEIGHT,
    Aggregate,
    Attribution,
    DistanceName,
    Generator,
    Method,
    ModelRef,
    Policy,
    Reason,
    Resynthesis,
    Verdict,
    VerdictKind,
)
from attribution.race import Budget
from attribution.resynthesis import References, load_references
from attribution.resynthesis.pool import GeneratorPool
from attribution.sources.command import app as sources_app
from attribution.verdict import Calibration

app = typer.Typer(
    help=__doc__.split("\n")[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(sources_app, name="sources")
app.add_typer(known_answers_app, name="known-answers")

_CALIBRATION = Path("zoo/models/calibration.json")
_BANK = Path("zoo/models/bank.npz")
_Option = typer.Option
_TRUST_LIST = "PEM certificates of trusted issuers of credentials: a file, or a folder of *.pem."


@app.command("attribute")
@exit_on_error
def attribute_image(
    image: Annotated[Path, typer.Argument(help="The query image.")],
    sources: Annotated[str | None, _Option(help="Source ids, separated by commas; default: all enabled ones.")] = None,
    exclude: Annotated[str, _Option(help="Source ids to leave out, separated by commas.")] = "",
    images_per_source: Annotated[int, _Option(min=1, help="Generated images per source (γ).")] = 4,
    budget: Annotated[
        Budget, _Option(help="fixed: γ images of each source; racing: up to γ; auto: racing if past jobs allow it.")
    ] = Budget.AUTO,
    method: Annotated[
        Method | None,
        _Option(help="residual or cosine; default: residual, or cosine with a --distance or --aggregate."),
    ] = None,
    policy: Annotated[Policy, _Option(help="Whether the image may be by a source that is not tested.")] = Policy.OPEN,
    bank: Annotated[Path | None, _Option(help=f"What past jobs taught; default: {_BANK}, if it exists.")] = None,
    aggregate: Annotated[
        Aggregate | None, _Option(help="How a source's γ distances become one; default: mean.")
    ] = None,
    external_scores: Annotated[
        Path | None, _Option(metavar="FILE", help="Another method's scores to fuse with: a JSON object by source.")
    ] = None,
    fusion_weight: Annotated[float, _Option(min=0, max=1, help="The weight of these scores.")] = FUSION_WEIGHT,
    prompt: Annotated[str | None, _Option(help="Use this text instead of a caption.")] = None,
    caption_only: Annotated[bool, _Option("--caption-only", help="Print the caption and stop.")] = False,
    reference: Annotated[
        list[str] | None,
        _Option(metavar="ID=FOLDER", help="1 to 16 reference images of a source; may be repeated."),
    ] = None,
    seed: Annotated[int | None, _Option(help="Select another, equally repeatable stream of images.")] = None,
    as_json: Annotated[bool, _Option("--json", help="Print JSON instead of a table.")] = False,
    catalog: Annotated[Path, _Option(help="Directory of *.toml.")] = Path("sources"),
    calibration: Annotated[
        Path | None, _Option(help=f"Measured thresholds; default: {_CALIBRATION}, if it exists.")
    ] = None,
    captioner: Annotated[str, _Option(help="blip, pez, blip+pez or vlm, with options: docs/captions.md.")] = "blip",
    embedder: Annotated[str, _Option(help="See docs/embedders.md.")] = "open_clip:local-dir:zoo/models/clip",
    distance: Annotated[DistanceName | None, _Option(help="Of the method cosine; default: cosine.")] = None,
    trust_list: Annotated[Path | None, _Option(help=_TRUST_LIST)] = None,
    crop_borders: Annotated[bool, _Option("--crop/--no-crop", help="Cut off borders of one color.")] = True,
    quorum: Annotated[int, _Option(min=1, help="Tested sources that a verdict needs.")] = 2,
    timeout: Annotated[float | None, _Option(help="Seconds per source, instead of the catalog's.")] = None,
    device: Annotated[str, _Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    dtype: Annotated[Literal["float32", "float16", "bfloat16"] | None, _Option(help="Of generators.")] = None,
    offload: Annotated[Literal["none", "model", "sequential"], _Option(help="Of generators.")] = "none",
    batch_size: Annotated[int, _Option(min=1, help="Images generated at once.")] = 4,
    memory_mb: Annotated[int, _Option(min=1, help="For loaded generators.")] = Placement().memory_mb,
    threads: Annotated[int | None, _Option(min=1, help="Of torch; default: one per core.")] = None,
) -> None:
    """Rank the sources that may have generated an image."""
    placement = Placement(device, dtype, offload, batch_size, memory_mb, threads)
    loaded = load(image, ImageLimits(examine=True, crop_borders=crop_borders))
    query, quality = loaded.image, loaded.quality
    if quality is not None and quality.blank:
        verdict = Verdict(VerdictKind.INCONCLUSIVE, None, Reason.BLANK_QUERY, None)
        shown = {"verdict": asdict(verdict), "input_quality": asdict(quality)}
        print(json.dumps(shown, indent=2) if as_json else "\n".join([*quality_lines(quality), verdict_line(verdict)]))
        return
    built_captioner = build_captioner(captioner if prompt is None else "fake:", placement)
    if caption_only:
        print(describe(built_captioner, query).text)
        return
    evidence = [*read(image.read_bytes(), read_trust_lists(trust_list)), *watermark(query)]
    today = datetime.now(UTC).date()
    known = load_catalog([catalog])
    excluded = _ids(exclude)
    references = _references(reference or [], excluded)
    selected = known.select(None if sources is None else _ids(sources), excluded, references)
    available = [source for source in selected if source.id in references or source.obstacle(today) is None]
    pool = GeneratorPool(partial(build_generator, placement=placement), memory_mb)
    generators: list[Generator] = [references.get(source.id) or pool.handle(source) for source in available]
    built_embedder = build_embedder(embedder, placement)
    if method is None:
        method = Method.RESIDUAL if distance is None and aggregate is None else Method.COSINE
    answer = attribute(
        query,
        captioner=built_captioner,
        generators=generators,
        embedder=built_embedder,
        distance=distance_named(distance or DistanceName.COSINE),
        method=method,
        bank=_bank(bank, built_embedder.ref),
        families={source.id: source.family for source in available},
        policy=policy,
        images_per_source=images_per_source,
        budget=budget,
        at_least={source.id: source.limits.fewest_images for source in available},
        aggregate=aggregate or Aggregate.MEAN,
        external_scores=_scores(external_scores, known),
        fusion_weight=fusion_weight,
        prompt=prompt,
        seed=seed,
        quorum=quorum,
        calibration=_calibration(calibration, captioner),
        timeouts={source.id: timeout or source.limits.timeout_seconds for source in available},
        on_error=lambda source, error: typer.echo(f"error: {source}: {error!r}", err=True),
    )
    answer = _with_untested(answer, selected)
    if as_json:
        about_file = {"input_quality": quality and asdict(quality), "evidence": documents(evidence)}
        print(json.dumps(as_document(answer) | about_file, indent=2, default=str))
    else:
        print("\n".join([as_table(answer), *quality_lines(quality), *map(evidence_line, evidence)]))


@app.command("evidence")
@exit_on_error
def read_evidence(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    as_json: Annotated[bool, _Option("--json", help="Print JSON instead of lines.")] = False,
    trust_list: Annotated[Path | None, _Option(help=_TRUST_LIST)] = None,
) -> None:
    """Print what a file and its pixels say about their origin; no model is loaded."""
    findings = list(read(image.read_bytes(), read_trust_lists(trust_list)))
    try:
        findings += watermark(load(image).image)
    except ImageError as error:
        typer.echo(f"The pixels were not searched. {error}", err=True)
    if as_json:
        print(json.dumps(documents(findings), indent=2, ensure_ascii=False))
    else:
        print("\n".join(map(evidence_line, findings)) or "evidence  none")


@app.command("export-onnx")
@exit_on_error
def export_onnx(
    model: Annotated[str, typer.Argument(help="local-dir:zoo/models/clip, ViT-B-32/openai, …; also with #layer=8.")],
    directory: Annotated[Path, typer.Argument(help="New, or empty; its name becomes the embedder's.")],
    precision: Annotated[Literal["float32", "int8-dynamic"], _Option(help="Of its weights.")] = "float32",
    images: Annotated[Path | None, _Option(help="Folder of images like those to come, to compare with.")] = None,
) -> None:
    """Write an embedder that needs no torch; see docs/embedders.md."""
    try:
        from attribution.embed.export import export
    except ImportError as error:
        typer.echo(
            f"error: {error.name} is not installed: install the package with its [ml,onnx,onnx-export] extras.",
            err=True,
        )
        raise typer.Exit(2) from None
    samples = [] if images is None else [load(path).image for path in sorted(images.iterdir()) if path.is_file()]
    difference = export(model, directory, precision, samples)
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{directory}: {size / 1e6:.1f} MB, features off torch's by at most {difference:.2g}")
    print(f"embed with onnx:local-dir:{directory}")


def _ids(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _references(given: Sequence[str], excluded: Sequence[str]) -> dict[str, References]:
    """The reference images by source, from ID=FOLDER each."""
    references: dict[str, References] = {}
    for text in given:
        source, _, folder = text.partition("=")
        if not (source and folder):
            raise typer.BadParameter("must be ID=FOLDER, such as midjourney=images", param_hint="--reference")
        if source in references or source in excluded:
            raise ConfigurationError(f"Put the reference images of {source} in one folder, and do not exclude it.")
        references[source] = References(source, load_references(Path(folder)))
    return references


def _scores(file: Path | None, catalog: Catalog) -> Mapping[str, float] | None:
    """Another method's scores. Raises ConfigurationError if they are not numbers, UnknownSource for other names."""
    if file is None:
        return None
    try:
        scores = json.loads(file.read_text())
    except ValueError as error:
        raise ConfigurationError(f"{file} is not JSON: {error}") from error
    if not isinstance(scores, dict) or not all(type(score) in (int, float) for score in scores.values()):
        raise ConfigurationError(f"{file} must contain an object of numbers by source.")
    unknown = [source for source in scores if source not in catalog]
    if unknown:
        raise UnknownSource(unknown)
    return {source: float(score) for source, score in scores.items()}


def _calibration(file: Path | None, captioner: str) -> Calibration:
    """The thresholds of a file, or else those of the demo models, which were measured with the shipped BLIP."""
    if file is None and _CALIBRATION.is_file() and parse(captioner).text in ("blip", f"blip:{SHIPPED['blip']}"):
        file = _CALIBRATION
    return Calibration.load([file] if file else [])


def _bank(file: Path | None, embedder: ModelRef) -> Bank | None:
    """The past jobs of a file, or else those that ship with the demo models, if they are of this embedder."""
    files = [file] if file else [_BANK] if _BANK.is_file() else []
    return load_banks(files).get(feature_space(embedder))


def _with_untested(answer: Attribution, selected: Sequence[Source]) -> Attribution:
    """The answer with a row for each selected source that is not available, in catalog order."""
    today = datetime.now(UTC).date()
    rows = {result.source: result for result in answer.resyntheses}
    for source in selected:
        obstacle = source.obstacle(today)
        if source.id not in rows and obstacle is not None:
            rows[source.id] = Resynthesis(source.id, source.revision, obstacle[0], reason=obstacle[1])
    return replace(answer, resyntheses=tuple(rows[source.id] for source in selected))
