"""Reads every file of a catalog and says what is wrong with it, or soon will be, without asking or loading anything.

A file's own mistakes are `attribution.catalog`'s to find, and what an adapter needs is the adapter's; here is what
can only be seen from outside: days that pass, successors that are missing, weights that are not there.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from attribution.catalog import LOCAL, LifecycleState, SeedSupport, Source, files_of, read_source
from attribution.errors import ConfigurationError
from attribution.sources.adapter import examine
from attribution.sources.finding import CheckFinding, Severity

NEAR = timedelta(days=90)
UNVERSIONED = "unversioned"  # the revision of what its vendor may change under the same name


def check(directories: Sequence[Path], today: date) -> list[CheckFinding]:
    """Everything there is to say, file by file in catalog order. Raises ConfigurationError for no such directory."""
    known: dict[str, Source] = {}
    findings: list[CheckFinding] = []
    paths = list(_files(directories))
    for path in paths:
        try:
            source = read_source(path)
        except ConfigurationError as error:
            findings.append(CheckFinding(Severity.ERROR, path, "", str(error).removeprefix(f"{path}: ")))
            continue
        if source.id in known:
            sentence = f"{source.id} is described in {known[source.id].file} too"
            findings.append(CheckFinding(Severity.ERROR, path, "id", sentence))
        known.setdefault(source.id, source)
    for source in known.values():
        findings.extend(_lifecycle(source, known, today))
        if source.obstacle(today) is None:
            findings.extend(_revision(source))
            findings.extend(examine(source))
            findings.extend(_terms(source))
            findings.extend(_size(source))
    return sorted(findings, key=lambda finding: paths.index(finding.file))


def _files(directories: Sequence[Path]) -> Iterator[Path]:
    for directory in directories:
        if not directory.is_dir():
            raise ConfigurationError(f"The catalog directory {directory} does not exist.")
        yield from files_of(directory)


def _lifecycle(source: Source, known: dict[str, Source], today: date) -> Iterator[CheckFinding]:
    life = source.lifecycle
    obstacle, warning = source.obstacle(today), source.warning(today)
    if life.successor is not None and life.successor not in known:
        yield CheckFinding(Severity.ERROR, source.file, "lifecycle.successor", f"there is no source {life.successor}")
    elif life.successor is not None and known[life.successor].obstacle(today) is not None:
        sentence = f"{life.successor} cannot be asked any more either"
        yield CheckFinding(Severity.WARNING, source.file, "lifecycle.successor", sentence)
    if life.since is not None and life.since > today:
        yield CheckFinding(Severity.ERROR, source.file, "lifecycle.since", f"{life.since} has not come; use deprecated")
    if life.state is LifecycleState.DEPRECATED and obstacle is not None:
        sentence = f"the day has passed: make it retired since then. {obstacle[1]}"
        yield CheckFinding(Severity.WARNING, source.file, "lifecycle.until", sentence)
    elif warning is not None and life.until is not None:
        near = life.until - today <= NEAR
        yield CheckFinding(Severity.WARNING if near else Severity.NOTE, source.file, "lifecycle.until", warning)
    if source.enabled and obstacle is not None:
        sentence = "every job reports it as not tested; false leaves it out unless it is named"
        yield CheckFinding(Severity.WARNING, source.file, "enabled", sentence)


def _revision(source: Source) -> Iterator[CheckFinding]:
    if source.platform != LOCAL and source.revision == UNVERSIONED:
        yield CheckFinding(Severity.NOTE, source.file, "revision", "it may change under the same name")


def _terms(source: Source) -> Iterator[CheckFinding]:
    if not source.external:
        return
    if source.terms is None:
        yield CheckFinding(
            Severity.WARNING, source.file, "terms", "prompts leave the house, under which terms is not said"
        )
    if source.price_usd is None:
        severity = Severity.WARNING if source.enabled else Severity.NOTE
        yield CheckFinding(severity, source.file, "price_usd", "is not known: budgets count SPEND__UNKNOWN_PRICE_USD")
    if source.seed is not SeedSupport.YES and (source.images_per_source or 1) < 2:
        sentence = "without seeds that repeat, one generated image says little: advise 2 or more"
        yield CheckFinding(Severity.WARNING, source.file, "images_per_source", sentence)


def _size(source: Source) -> Iterator[CheckFinding]:
    given = source.parameters
    sized = "width" in given and "height" in given
    names = ("size", "aspect_ratio", "aspectRatio")
    asked = f"{given['width']}x{given['height']}" if sized else next((given[n] for n in names if n in given), None)
    listed = source.sizes
    # A vendor's own name for a shape (square_hd, 1x1) is not looked for.
    if asked is None or not listed or "any" in listed or not isinstance(asked, str):
        return
    if asked not in listed:
        yield CheckFinding(
            Severity.ERROR, source.file, "parameters", f"{asked} is none of its sizes: {', '.join(listed)}"
        )
