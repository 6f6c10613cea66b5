"""`python -m attribution known-answers`: records what a model in a directory answers, or compares.

record DIRECTORY             what the model there answers now, on the CPU in float32
record DIRECTORY --of SPEC   what another answers, which it must reproduce: an exported model's original
check DIRECTORY              as a worker does when it starts
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from attribution.build import Placement, build_captioner, build_embedder
from attribution.caption.spec import parse as parse_captioner
from attribution.embed.spec import parse as parse_embedder
from attribution.errors import AttributionError, ConfigurationError
from attribution.known_answers.answers import FLOAT32_COSINE, LEAST_COSINE, KnownAnswers
from attribution.known_answers.store import check_beside
from attribution.known_answers.subject import Subject, subject_of_embedder, subjects_of_captioner
from attribution.weights import KNOWN_ANSWERS


def main(arguments: Sequence[str]) -> int:
    """Runs the command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m attribution known-answers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["record", "check"])
    parser.add_argument("directory", type=Path, help="an open_clip model, an exported one, or a BLIP")
    parser.add_argument("--of", metavar="SPEC", help="record this embedder's, such as open_clip:ViT-B-32/openai")
    parser.add_argument(
        "--least-cosine",
        type=float,
        default=FLOAT32_COSINE,
        help=f"what features must reach, {FLOAT32_COSINE} unless given and at least {LEAST_COSINE}, which suits 8 bits",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", help="of a captioner")
    options = parser.parse_args(arguments)
    try:
        print(_run(options))
    except (AttributionError, OSError) as error:
        print(f"attribution: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> str:
    directory, placement = options.directory, Placement(device=options.device, dtype=options.dtype)
    spec = spec_of(directory)
    subject = _subject(spec, placement)
    if options.action == "check":
        if not check_beside(subject, directory):
            raise ConfigurationError(f"{directory} has no {KNOWN_ANSWERS}; record them first.")
        return f"{subject.ref} reproduces its known answers"
    known = KnownAnswers.record(_subject(options.of or spec, placement), options.least_cosine)
    if not known.answers:
        raise ConfigurationError(f"Every caption of {subject.ref} changes with the slightest noise: none can be known.")
    # Compared before anything is written: what its model does not reproduce would stop every worker.
    known.check(subject, directory / KNOWN_ANSWERS, "Nothing was written.")
    known.write(directory / KNOWN_ANSWERS)
    return f"{directory / KNOWN_ANSWERS}: {len(known.answers)} answers of {known.model}"


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


def _subject(spec: str, placement: Placement) -> Subject:
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
