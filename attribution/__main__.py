"""`python -m attribution image.png`: the method on the command line, without service, queue or database.

`python -m attribution sources …` is about the catalog instead, see `sources/command.py`; `… export-onnx …` writes an
embedder that needs no torch, see `embed/export.py`; `… known-answers …` records what a model must reproduce, see
`known_answers/command.py`.

Errors are one sentence on stderr; the exit code is 2 where the image, an option or the configuration is at
fault.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from attribution.build import Placement, build_captioner, build_embedder, build_generator
from attribution.caption import describe
from attribution.caption.spec import SHIPPED, parse
from attribution.catalog import Catalog, Source, load_catalog
from attribution.distance import DISTANCES, distance_named
from attribution.errors import AttributionError, ConfigurationError, UnknownSource
from attribution.evidence.finding import Finding, documents
from attribution.evidence.read import read
from attribution.evidence.watermark import watermark
from attribution.image import load
from attribution.known_answers.command import main as known_answers
from attribution.method import attribute
from attribution.ports import FUSION_WEIGHT, Aggregate, Attribution, Captioner, Generator, Origin, Resynthesis
from attribution.resynthesis import References, load_references
from attribution.resynthesis.pool import GeneratorPool
from attribution.sources.command import main as sources
from attribution.verdict import Calibration

_CALIBRATION = Path("zoo/models/calibration.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Attribute one image and print the answer, or look at the catalog. Returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["sources"]:
        return sources(given[1:])
    if given[:1] == ["export-onnx"]:
        return _export(given[1:])
    if given[:1] == ["known-answers"]:
        return known_answers(given[1:])
    options = _parser().parse_args(given)
    try:
        if options.caption_only:
            print(describe(_captioner(options), load(options.image).image).text)
            return 0
        evidence = _evidence(options)
        answer = _attribute(options)
    except (AttributionError, OSError) as error:
        print(f"attribution: {error}", file=sys.stderr)
        return 2
    if options.json:
        document = {**_document(answer), "evidence": documents(evidence)}
        print(json.dumps(document, indent=2, default=str))
    else:
        print("\n".join([_table(answer), *map(_evidence_line, evidence)]))
    return 0


def _export(arguments: Sequence[str]) -> int:
    try:
        from attribution.embed.export import main as export
    except ImportError as error:
        print(
            f"attribution: exporting needs {error.name}: install the package with its [ml,onnx,onnx-export] extras.",
            file=sys.stderr,
        )
        return 2
    return export(arguments)


def _evidence(options: argparse.Namespace) -> tuple[Finding, ...]:
    """What the file says about its origin; the ranking knows nothing of it."""
    trust_list = options.trust_list.read_text() if options.trust_list else None
    return (*read(options.image.read_bytes(), trust_list), *watermark(load(options.image).image))


def _evidence_line(finding: Finding) -> str:
    return f"evidence  {finding.where}: {finding.claim} ({finding.trust}: {finding.caveat})"


def _attribute(options: argparse.Namespace) -> Attribution:
    image = load(options.image).image
    catalog = load_catalog([options.catalog])
    brought = _references(options)
    chosen = catalog.select(options.sources, options.exclude, brought)
    today = datetime.now(UTC).date()
    askable = [source for source in chosen if source.id in brought or source.obstacle(today) is None]
    placement = _placement(options)
    pool = GeneratorPool(partial(build_generator, placement=placement), options.memory_mb)
    generators: list[Generator] = [brought.get(source.id) or pool.handle(source) for source in askable]
    # Measured with the shipped BLIP.
    measured = parse(options.captioner).text in ("blip", f"blip:{SHIPPED['blip']}")
    shipped = [_CALIBRATION] if _CALIBRATION.is_file() and measured else []
    calibration = Calibration.load([options.calibration] if options.calibration else shipped)
    answer = attribute(
        image,
        captioner=_captioner(options),
        generators=generators,
        embedder=build_embedder(options.embedder, placement),
        distance=distance_named(options.distance),
        images_per_source=options.images_per_source,
        aggregate=Aggregate(options.aggregate),
        external_scores=_prior(options, catalog),
        fusion_weight=options.fusion_weight,
        prompt=options.prompt,
        seed=options.seed,
        quorum=options.quorum,
        calibration=calibration,
        timeouts={source.id: options.timeout or source.limits.timeout_seconds for source in askable},
        on_error=lambda source, error: print(f"attribution: {source}: {error!r}", file=sys.stderr),
    )
    return _with_untested(answer, chosen)


def _prior(options: argparse.Namespace, catalog: Catalog) -> dict[str, float] | None:
    """Another method's scores. Raises ConfigurationError where they are none, UnknownSource for other names."""
    if options.external_scores is None:
        return None
    try:
        scores = json.loads(options.external_scores.read_text())
    except ValueError as error:
        raise ConfigurationError(f"{options.external_scores} is not JSON: {error}") from error
    if not isinstance(scores, dict) or not all(
        isinstance(score, int | float) and not isinstance(score, bool) for score in scores.values()
    ):
        raise ConfigurationError(f"{options.external_scores} must hold an object of numbers by source.")
    unknown = [source for source in scores if source not in catalog]
    if unknown:
        raise UnknownSource(unknown)
    return {source: float(score) for source, score in scores.items()}


def _placement(options: argparse.Namespace) -> Placement:
    return Placement(
        options.device, options.dtype, options.offload, options.batch_size, options.memory_mb, options.threads
    )


def _captioner(options: argparse.Namespace) -> Captioner:
    return build_captioner(options.captioner if options.prompt is None else "fake:", _placement(options))


def _references(options: argparse.Namespace) -> dict[str, References]:
    """The generated images that were brought along, by source."""
    brought: dict[str, References] = {}
    for source, folder in options.reference:
        if source in brought or source in options.exclude:
            raise ConfigurationError(f"Bring the generated images of {source} in one folder, and do not exclude it.")
        brought[source] = References(source, load_references(folder))
    return brought


def _with_untested(answer: Attribution, chosen: Sequence[Source]) -> Attribution:
    """The answer with a row for each chosen source that no program can ask, in catalog order."""
    today = datetime.now(UTC).date()
    rows = {result.source: result for result in answer.resyntheses}
    for source in chosen:
        obstacle = source.obstacle(today)
        if source.id not in rows and obstacle is not None:
            rows[source.id] = Resynthesis(source.id, source.revision, obstacle[0], reason=obstacle[1])
    ordered = tuple(rows[source.id] for source in chosen)
    return replace(answer, resyntheses=ordered)


def _table(answer: Attribution) -> str:
    ranking, verdict = answer.ranking, answer.verdict
    width = max([6, *(len(result.source) for result in answer.resyntheses)])
    lines = [f"caption   {answer.caption.text}", ""]
    fused = f"  {'external_scores':>9}  {'fused':>7}" if ranking.fusion else ""
    lines.append(f"{'':>4}  {'source':<{width}}  {ranking.distance + ' distance':>16}  {'score':>6}{fused}")
    brought = {result.source for result in answer.resyntheses if result.origin is Origin.REFERENCE}
    for place, entry in enumerate(ranking.entries, 1):
        line = f"{place:>3}.  {entry.source:<{width}}  {entry.distance:>16.4f}  {entry.score:>6.3f}"
        if entry.fused is not None:
            line += f"  {'none' if entry.external_scores is None else format(entry.external_scores, '.4g'):>9}  {entry.fused:>7.3f}"
        lines.append(f"{line}  (your generated images)" if entry.source in brought else line)
    ranked = {entry.source for entry in ranking.entries}
    for result in answer.resyntheses:
        if result.source not in ranked:
            lines.append(f"{'–':>4}  {result.source:<{width}}  {result.state}: {result.reason}")
    margin = "none" if ranking.margin is None else f"{ranking.margin:.4f}"
    said = f"attributed to {verdict.source}" if verdict.source else f"inconclusive ({verdict.reason})"
    lines += ["", f"distance  {ranking.distance}, {ranking.aggregate} over generated images"]
    if ranking.fusion:
        lines.append(f"order     by the score fused with yours, whose weight is {ranking.fusion.weight:g}")
    lines += [f"margin    {margin}", f"verdict   {said}", "Scores compare sources; they are no probabilities."]
    return "\n".join(lines)


def _document(answer: Attribution) -> dict[str, Any]:
    """The answer as plain data, without pixels."""
    return {
        "caption": {"text": answer.caption.text, "captioner": str(answer.caption.captioner)},
        "sources": [
            {
                "source": result.source,
                "revision": result.revision,
                "state": result.state,
                "reason": result.reason,
                "origin": result.origin,
                "seeds": [generated_image.seed for generated_image in result.generated_images],
                "prompts": _resynthesized(result),
                "seconds": round(result.seconds, 3),
            }
            for result in answer.resyntheses
        ],
        "embedder": str(answer.embedder),
        "ranking": asdict(answer.ranking),
        "verdict": asdict(answer.verdict),
        "seconds": {stage: round(seconds, 3) for stage, seconds in answer.seconds.items()},
    }


def _resynthesized(result: Resynthesis) -> list[str | None]:
    """The texts that were generated; nothing where all of them are the caption."""
    prompts = [generated_image.prompt for generated_image in result.generated_images]
    return prompts if any(prompts) else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m attribution", description=__doc__.split("\n")[0])
    names = partial(str.split, sep=",")
    parser.add_argument("image", type=Path)
    parser.add_argument("--sources", type=names, help="ids, separated by commas; default: all enabled ones")
    parser.add_argument("--exclude", type=names, default=[], help="ids to leave out")
    parser.add_argument(
        "--images-per-source", type=_positive, default=4, help="generated images per source (γ), default 4"
    )
    parser.add_argument(
        "--aggregate", default="mean", choices=list(Aggregate), help="of a source's generated images, by similarity"
    )
    parser.add_argument(
        "--external-scores",
        type=Path,
        metavar="FILE",
        help="another method's scores to fuse with: a JSON object by source",
    )
    parser.add_argument(
        "--fusion-weight", type=_share, default=FUSION_WEIGHT, help=f"of these scores, 0 to 1; default {FUSION_WEIGHT}"
    )
    parser.add_argument("--prompt", help="use this instead of a caption")
    parser.add_argument("--caption-only", action="store_true", help="print the caption, for you to generate, and stop")
    parser.add_argument(
        "--reference",
        type=_reference,
        action="append",
        default=[],
        metavar="ID=FOLDER",
        help="generated images of this source that you bring along, 1 to 16 images; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="another, equally repeatable stream of generated images")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--catalog", type=Path, default=Path("sources"), help="directory of *.toml")
    parser.add_argument("--calibration", type=Path, help=f"measured thresholds; default: {_CALIBRATION}, if any")
    parser.add_argument(
        "--captioner", default="blip", help="blip, pez, blip+pez or vlm, with details: docs/captions.md"
    )
    parser.add_argument("--embedder", default="open_clip:local-dir:zoo/models/clip")
    parser.add_argument("--distance", default="cosine", choices=list(DISTANCES))
    parser.add_argument("--trust-list", type=Path, help="PEM certificates of issuers whose credentials are trusted")
    parser.add_argument("--quorum", type=_positive, default=2, help="tested sources a verdict needs")
    parser.add_argument("--timeout", type=float, help="seconds per source, instead of the catalog's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--offload", default="none", choices=["none", "model", "sequential"])
    parser.add_argument("--batch-size", type=_positive, default=4)
    parser.add_argument("--memory-mb", type=_positive, default=Placement().memory_mb)
    parser.add_argument("--threads", type=_positive)
    return parser


def _reference(text: str) -> tuple[str, Path]:
    source, equals, folder = text.partition("=")
    if not (source and equals and folder):
        raise argparse.ArgumentTypeError("must be ID=FOLDER, such as midjourney=generated images")
    return source, Path(folder)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


if __name__ == "__main__":
    sys.exit(main())
