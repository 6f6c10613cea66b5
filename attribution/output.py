"""What the command line prints: an answer as a table for people or as JSON for programs, and errors as a sentence."""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from typing import Any, ParamSpec

import typer

from attribution.errors import AttributionError
from attribution.evidence.finding import Finding
from attribution.ports import Attribution, Method, Origin, Resynthesis, Verdict, VerdictKind
from attribution.quality import InputQuality

P = ParamSpec("P")


def exit_on_error(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose expected errors become one sentence on stderr and exit code 2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (AttributionError, OSError) as error:
            typer.echo(f"error: {_sentence(error)}", err=True)
            raise typer.Exit(2) from None

    return run


def _sentence(error: Exception) -> str:
    """What happened to which file, without the number of the system's error."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    file = str(error.filename)
    if isinstance(error, FileNotFoundError):
        return f"There is no file {file}."
    if isinstance(error, IsADirectoryError):
        return f"{file} is a folder; name a file in it."
    if isinstance(error, PermissionError):
        return f"The file {file} may not be read or written by this user."
    return f"{file}: {error.strerror}."


def as_table(answer: Attribution) -> str:
    """The ranking, the sources that were not tested, margin and verdict, as lines."""
    ranking, verdict = answer.ranking, answer.verdict
    width = max([6, *(len(result.source) for result in answer.resyntheses)])
    fused = f"  {'external':>9}  {'fused':>7}" if ranking.fusion else ""
    matched = ranking.method is Method.RESIDUAL
    lines = [f"caption   {answer.caption.text}", ""]
    probability = "  probability" if matched else ""
    distance = f"{ranking.distance} distance"
    lines.append(f"{'':>4}  {'source':<{width}}  {distance:>16}  {'score':>6}{probability}{fused}")
    references = {result.source for result in answer.resyntheses if result.origin is Origin.REFERENCE}
    for place, entry in enumerate(ranking.entries, 1):
        line = f"{place:>3}.  {entry.source:<{width}}  {entry.distance:>16.4f}  {entry.score:>6.3f}"
        if matched:
            line += f"  {'none' if entry.probability is None else format(entry.probability, '.3f'):>11}"
        if entry.fused is not None:
            external = "none" if entry.external_score is None else format(entry.external_score, ".4g")
            line += f"  {external:>9}  {entry.fused:>7.3f}"
        lines.append(f"{line}  (your reference images)" if entry.source in references else line)
    ranked = {entry.source for entry in ranking.entries}
    lines += [
        f"{'–':>4}  {result.source:<{width}}  {result.state}: {result.reason}"
        for result in answer.resyntheses
        if result.source not in ranked
    ]
    if answer.race is not None:
        lines.append(race_line(answer))
    margin = "none" if ranking.margin is None else f"{ranking.margin:.4f}"
    lines += [
        "",
        f"method    {ranking.method}",
        f"distance  {ranking.distance}, {ranking.aggregate} over a source's images",
    ]
    if ranking.estimate is not None:
        lines.append(f"set       {', '.join(ranking.estimate.prediction_set)}, with {ranking.estimate.coverage:.0%}")
    if ranking.fusion:
        lines.append(
            f"order     by the score fused with the external scores, whose weight is {ranking.fusion.weight:g}"
        )
    lines += [f"margin    {margin}", verdict_line(verdict)]
    lines.append(
        "Probabilities assume that a tested source, or something derived from it, made the image."
        if ranking.calibrated
        else "Scores compare sources; they are not probabilities."
    )
    return "\n".join(lines)


def as_document(answer: Attribution) -> dict[str, Any]:
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
                "prompts": _prompts(result),
                "seconds": round(result.seconds, 3),
            }
            for result in answer.resyntheses
        ],
        "embedder": str(answer.embedder),
        "race": answer.race and asdict(answer.race),
        "ranking": asdict(answer.ranking),
        "verdict": asdict(answer.verdict),
        "seconds": {stage: round(seconds, 3) for stage, seconds in answer.seconds.items()},
    }


def verdict_line(verdict: Verdict) -> str:
    """The source or sources, or why none is named; and what such a verdict is worth."""
    text = {
        VerdictKind.ATTRIBUTED: f"attributed to {verdict.source}",
        VerdictKind.ATTRIBUTED_FAMILY: f"attributed to one of {', '.join(verdict.sources)}",
        VerdictKind.NARROWED: f"narrowed to {', '.join(verdict.sources)}",
        VerdictKind.INCONCLUSIVE: f"inconclusive ({verdict.reason})",
    }[verdict.kind]
    if (measured := verdict.measured) is not None and measured.right is not None:
        count = round(measured.queries * measured.named)
        text += f": {measured.right:.0%} of {count} such verdicts about past images were right"
    return f"verdict   {text}"


def race_line(answer: Attribution) -> str:
    """How many images were generated, in how many rounds, and why no more."""
    assert answer.race is not None
    assert answer.race.end is not None
    images = sum(len(result.generated_images) for result in answer.resyntheses)
    rounds = len(answer.race.rounds)
    return f"race      {images} images in {rounds} {'round' if rounds == 1 else 'rounds'}, {answer.race.end}"


def quality_lines(quality: InputQuality | None) -> list[str]:
    """What about the query image may cost accuracy."""
    return [] if quality is None else [f"quality   {note}" for note in quality.notes]


def evidence_line(finding: Finding) -> str:
    """A statement of the file, with its limits."""
    return f"evidence  {finding.where}: {finding.claim} ({finding.trust}: {finding.caveat})"


def _prompts(result: Resynthesis) -> list[str | None]:
    """The generated prompts; empty if all of them are the caption."""
    prompts = [generated_image.prompt for generated_image in result.generated_images]
    return prompts if any(prompts) else []
