"""The commands `known-answers record` and `known-answers check`: what a model in a directory must reproduce."""

import json
from pathlib import Path
from typing import Annotated

import typer

from attribution.build import Placement, build_captioner, build_embedder
from attribution.caption.spec import parse as parse_captioner
from attribution.embed.spec import parse as parse_embedder
from attribution.errors import ConfigurationError
from attribution.known_answers.answers import FLOAT32_COSINE, LEAST_COSINE, KnownAnswers, check_beside
from attribution.known_answers.subject import AnswerSubject, subject_of_embedder, subjects_of_captioner
from attribution.output import exit_on_error
from attribution.weights import KNOWN_ANSWERS

app = typer.Typer(help="Record or check what a model must reproduce; see docs/embedders.md.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(help="An open_clip model, an exported one, or a BLIP.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option(help="Of a captioner.")]


@app.command("check")
@exit_on_error
def check_answers(directory: Directory, device: Device = "cpu", dtype: Dtype = "float32") -> None:
    """Compare the model's answers with the recorded ones, as a worker does when it starts."""
    subject = _subject(spec_of(directory), Placement(device=device, dtype=dtype))
    if not check_beside(subject, directory):
        raise ConfigurationError(f"{directory} has no {KNOWN_ANSWERS}; record them first.")
    print(f"{subject.ref} reproduces its known answers")


@app.command("record")
@exit_on_error
def record_answers(
    directory: Directory,
    of: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Record this embedder's: an exported one's original.")
    ] = None,
    least_cosine: Annotated[
        float, typer.Option(help=f"That features must reach; at least {LEAST_COSINE}, which suits 8 bits.")
    ] = FLOAT32_COSINE,
    device: Device = "cpu",
    dtype: Dtype = "float32",
) -> None:
    """Record what the model answers now, or what another answers that it must reproduce."""
    spec, placement = spec_of(directory), Placement(device=device, dtype=dtype)
    subject = _subject(spec, placement)
    known = KnownAnswers.record(_subject(of or spec, placement), least_cosine)
    if not known.answers:
        raise ConfigurationError(f"Every caption of {subject.ref} changes with the slightest noise: none can be known.")
    # Compared before anything is written: what its model does not reproduce would stop every worker.
    known.check(subject, directory / KNOWN_ANSWERS, "Nothing was written.")
    known.write(directory / KNOWN_ANSWERS)
    print(f"{directory / KNOWN_ANSWERS}: {len(known.answers)} answers of {known.model}")


def spec_of(directory: Path) -> str:
    """The specification of the model that lies in a directory. Raises ConfigurationError where there is none."""
    if (directory / "embedder.json").is_file():
        return f"onnx:local-dir:{directory}"
    if (directory / "open_clip_config.json").is_file():
        return f"open_clip:local-dir:{directory}"
    try:
        kind = json.loads((directory / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = None
    if kind == "blip":
        return f"blip:{directory}"
    raise ConfigurationError(f"{directory} holds neither an open_clip model nor an exported one nor a BLIP.")


def _subject(spec: str, placement: Placement) -> AnswerSubject:
    if spec.startswith("blip:"):
        captioner = build_captioner(spec, placement)
        (found,) = subjects_of_captioner(
            captioner, parse_captioner(spec), placement.dtype or "float32", placement.device
        )
        return found
    subject = subject_of_embedder(build_embedder(spec, placement), parse_embedder(spec), placement.device)
    if subject is None:
        raise ConfigurationError(f"{spec} has no weights, and nothing to reproduce.")
    return subject
