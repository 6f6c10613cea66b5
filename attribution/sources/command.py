"""The commands `sources list`, `sources check` and `sources probe`, and their exit codes.

0: no mistake; 1: a mistake in a file, or a source that did not generate; 2: the command could not run.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from attribution.build import Placement, build_generator
from attribution.catalog import Catalog, LifecycleState, Source, load_catalog
from attribution.output import exit_on_error
from attribution.resynthesis.pool import GeneratorPool
from attribution.sources.check import Severity, check
from attribution.sources.probe import PROMPT, choose, probe

_HEAD = ("source", "lifecycle", "adapter", "enabled", "seed", "price", "prompts")


def as_table(catalog: Catalog, today: date) -> str:
    """A row for each source; below, a sentence for each that is not available, or soon will not be."""
    rows = [_HEAD, *(_row(source, today) for source in catalog.sources)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"{source.id}: {note}" for source in catalog.sources if (note := _note(source, today))]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def as_json(catalog: Catalog, today: date) -> str:
    """A list of objects with the content of the files, and today's obstacle or warning."""
    return json.dumps([_document(source, today) for source in catalog.sources], indent=2, default=str)


def _row(source: Source, today: date) -> Sequence[str]:
    unavailable = source.obstacle(today) is not None
    return (
        source.id,
        _lifecycle(source, today),
        source.adapter,
        "yes" if source.enabled else "on request" if source.on_request else "no",
        "–" if unavailable else source.seed,
        "–" if unavailable else _price(source),
        "–" if unavailable else "third party" if source.external else "internal",
    )


def _lifecycle(source: Source, today: date) -> str:
    life = source.lifecycle
    if life.state is LifecycleState.NO_API:
        return "no API"
    if life.state is LifecycleState.LIVE:
        return "live"
    if source.obstacle(today) is None:
        return f"until {life.until}"
    return f"ended {life.since or life.until}"


def _price(source: Source) -> str:
    if source.price_usd is None:
        return "unknown" if source.external else "–"
    return f"${source.price_usd:.3f}"


def _note(source: Source, today: date) -> str | None:
    obstacle = source.obstacle(today)
    return obstacle[1] if obstacle is not None else source.warning(today)


def _document(source: Source, today: date) -> dict[str, Any]:
    obstacle = source.obstacle(today)
    return {
        **{key: value for key, value in asdict(source).items() if key not in ("schema", "root")},
        "obstacle": obstacle and {"state": obstacle[0], "reason": obstacle[1]},
        "warning": source.warning(today),
    }


app = typer.Typer(help="List, check and probe the catalog.", no_args_is_help=True)

_DEFAULT = (Path("sources"),)
Directories: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--catalog", metavar="DIRECTORY", help="Directory of *.toml; may be repeated; default: sources."),
]


@app.command("list")
@exit_on_error
def list_sources(
    directories: Directories = None,
    as_document: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show the sources of the catalog."""
    catalog, today = load_catalog(directories or _DEFAULT), datetime.now(UTC).date()
    print(as_json(catalog, today) if as_document else as_table(catalog, today))


@app.command("check")
@exit_on_error
def check_sources(directories: Directories = None) -> None:
    """Read every file and report the mistakes in it."""
    findings = check(directories or _DEFAULT, datetime.now(UTC).date())
    for finding in findings:
        print(finding)
    counts = {severity: sum(each.severity is severity for each in findings) for severity in Severity}
    print(", ".join(f"{count} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items()))
    if counts[Severity.ERROR]:
        raise typer.Exit(1)


@app.command("probe")
@exit_on_error
def probe_sources(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Sources to probe, enabled or not.")] = None,
    directories: Directories = None,
    prompt: Annotated[str, typer.Option(help="What to generate.")] = PROMPT,
    save: Annotated[Path | None, typer.Option(metavar="DIRECTORY", help="Keep the images, as ID.png.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds per source, instead of the catalog's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    memory_mb: Annotated[int, typer.Option(min=1, help="For loaded generators.")] = Placement().memory_mb,
) -> None:
    """Generate one image at each enabled source, or at those named; vendors bill it."""
    pool = GeneratorPool(partial(build_generator, placement=Placement(device=device, memory_mb=memory_mb)), memory_mb)
    sources = choose(load_catalog(directories or _DEFAULT), ids or [])
    width = max((len(source.id) for source in sources), default=0)
    results = []
    for source in sources:
        result = probe(source, pool.get, prompt, datetime.now(UTC).date(), save, timeout)
        print(result.line(width), flush=True)
        results.append(result)
    spent = sum(result.cost_usd or 0 for result in results)
    unknown = [result.source for result in results if result.cost_usd is None]
    print(f"spent ${spent:.3f}" + (f", and the unknown prices of {', '.join(unknown)}" if unknown else ""))
    if not results or not all(result.generated for result in results):
        raise typer.Exit(1)
