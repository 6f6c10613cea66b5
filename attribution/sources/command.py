"""The commands `sources list`, `sources check` and `sources probe`, and their exit codes.

0: no mistake; 1: a mistake in a file, or a source that did not generate; 2: the command could not run.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from attribution.build import Placement, build_generator
from attribution.catalog import load_catalog
from attribution.output import exit_on_error
from attribution.resynthesis.pool import GeneratorPool
from attribution.sources.check import Severity, check
from attribution.sources.listing import as_json, as_table
from attribution.sources.probe import PROMPT, choose, probe

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
