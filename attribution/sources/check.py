"""`sources check`: reads every file of a catalog and reports mistakes and what will soon be one, without any call.

`attribution.catalog` finds the mistakes within a file, an adapter those in its parameters. This module adds what needs
more than one file or today's date: missing successors, days that have passed, missing weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from attribution.build import Placement, build_generator, locate_weights
from attribution.catalog import LifecycleState, SeedSupport, Source, files_of, read_source
from attribution.errors import AttributionError, ConfigurationError, SourceUnavailable

NEAR = timedelta(days=90)
UNVERSIONED = "unversioned"  # the revision of a model that its vendor may change under the same name


class Severity(StrEnum):
    """An error prevents the use of a source, a warning will do so later, a note is for information."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One sentence about a key of a file."""

    severity: Severity
    file: Path
    key: str
    sentence: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else str(self.file)
        return f"{self.severity:<7}  {where}: {self.sentence}"


@runtime_checkable
class KeyedGenerator(Protocol):
    """A generator that needs a key of the operator."""

    def check_key(self) -> None:
        """Raises SourceUnavailable if the key is missing. Nothing is sent."""
        ...


def check(directories: Sequence[Path], today: date) -> list[CheckFinding]:
    """All findings, file by file in catalog order. Raises ConfigurationError if a directory does not exist."""
    known: dict[str, Source] = {}
    findings: list[CheckFinding] = []
    paths = [path for directory in directories for path in files_of(directory)]
    for path in paths:
        try:
            source = read_source(path)
        except ConfigurationError as error:
            findings.append(CheckFinding(Severity.ERROR, path, "", str(error).removeprefix(f"{path}: ")))
            continue
        if source.id in known:
            sentence = f"{source.id} is also described in {known[source.id].file}"
            findings.append(CheckFinding(Severity.ERROR, path, "id", sentence))
        known.setdefault(source.id, source)
    for source in known.values():
        findings.extend(_lifecycle(source, known, today))
        if source.obstacle(today) is None:
            findings.extend(_revision(source))
            findings.extend(_adapter(source))
            findings.extend(_terms(source))
            findings.extend(_size(source))
    return sorted(findings, key=lambda finding: paths.index(finding.file))


def _lifecycle(source: Source, known: dict[str, Source], today: date) -> Iterator[CheckFinding]:
    life = source.lifecycle
    obstacle, warning = source.obstacle(today), source.warning(today)
    if life.successor is not None and life.successor not in known:
        yield CheckFinding(Severity.ERROR, source.file, "lifecycle.successor", f"there is no source {life.successor}")
    elif life.successor is not None and known[life.successor].obstacle(today) is not None:
        sentence = f"{life.successor} is not available any more either"
        yield CheckFinding(Severity.WARNING, source.file, "lifecycle.successor", sentence)
    if life.since is not None and life.since > today:
        yield CheckFinding(
            Severity.ERROR, source.file, "lifecycle.since", f"{life.since} is in the future; use deprecated"
        )
    if life.state is LifecycleState.DEPRECATED and obstacle is not None:
        sentence = f"the day has passed: change the state to retired. {obstacle[1]}"
        yield CheckFinding(Severity.WARNING, source.file, "lifecycle.until", sentence)
    elif warning is not None and life.until is not None:
        near = life.until - today <= NEAR
        yield CheckFinding(Severity.WARNING if near else Severity.NOTE, source.file, "lifecycle.until", warning)
    if source.enabled and obstacle is not None:
        sentence = "every job reports this source as not tested; with false, only jobs that name it do"
        yield CheckFinding(Severity.WARNING, source.file, "enabled", sentence)


def _revision(source: Source) -> Iterator[CheckFinding]:
    if not source.is_local and source.revision == UNVERSIONED:
        yield CheckFinding(Severity.NOTE, source.file, "revision", "it may change under the same name")


def _terms(source: Source) -> Iterator[CheckFinding]:
    if not source.external:
        return
    if source.terms is None:
        yield CheckFinding(
            Severity.WARNING, source.file, "terms", "prompts are sent to a third party, and its terms are missing"
        )
    if source.price_usd is None:
        severity = Severity.WARNING if source.enabled else Severity.NOTE
        yield CheckFinding(severity, source.file, "price_usd", "is unknown: budgets count SPEND__UNKNOWN_PRICE_USD")
    if source.seed is not SeedSupport.YES and (source.images_per_source or 1) < 2:
        sentence = "one generated image without a repeatable seed is weak evidence: set 2 or more"
        yield CheckFinding(Severity.WARNING, source.file, "images_per_source", sentence)


def _size(source: Source) -> Iterator[CheckFinding]:
    parameters = source.parameters
    sized = "width" in parameters and "height" in parameters
    names = ("size", "aspect_ratio", "aspectRatio")
    named = next((parameters[name] for name in names if name in parameters), None)
    size = f"{parameters['width']}x{parameters['height']}" if sized else named
    # A vendor's own name for a shape (square_hd, 1x1) is not a size of the catalog.
    if not isinstance(size, str) or not source.sizes or "any" in source.sizes:
        return
    if size not in source.sizes:
        yield CheckFinding(
            Severity.ERROR, source.file, "parameters", f"{size} is none of its sizes: {', '.join(source.sizes)}"
        )


def _adapter(source: Source) -> Iterator[CheckFinding]:
    """A mistake is an error; what is missing for the use of the source is a note until jobs can use it."""
    unready = Severity.ERROR if source.is_usable else Severity.NOTE
    if source.adapter == "diffusers":
        try:
            locate_weights(source)
        except AttributionError as error:
            yield CheckFinding(unready, source.file, "revision", _without_id(source, error))
        return
    try:
        generator = build_generator(source, Placement())
        if isinstance(generator, KeyedGenerator):
            generator.check_key()
    except ConfigurationError as error:
        yield CheckFinding(Severity.ERROR, source.file, "", _without_id(source, error))
    except SourceUnavailable as error:
        yield CheckFinding(unready, source.file, "parameters.key", str(error))


def _without_id(source: Source, error: AttributionError) -> str:
    return str(error).removeprefix(f"{source.id}: ")
