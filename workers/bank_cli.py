"""`python -m workers bank`: what the operator sees of the bank, and does with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.db import bank_repository
from app.errors import ServiceError
from app.queue.broker import Broker, make_celery
from app.settings import load_settings
from attribution.bank.files import unpack_bank
from attribution.embed.stage import feature_space
from attribution.errors import AttributionError, ConfigurationError
from workers.bank_snapshots import DRIFTED
from workers.bank_upkeep import exported, import_bank
from workers.bank_upkeep import rebuild as rebuild_bank
from workers.process import Process, build_process
from workers.warm import warm as warm_bank


class _BankGroup(TyperGroup):
    """An error that the operator can fix becomes one sentence on standard error and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ServiceError, AttributionError) as error:
            typer.echo(error, err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_BankGroup,
    help="What past jobs taught about the sources.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
File = Annotated[Path, typer.Argument(metavar="FILE")]


@contextmanager
def _process() -> Iterator[Process]:
    """The resources of a worker, of which no more is started than is used."""
    settings = load_settings()
    process = build_process(settings, Broker(make_celery(settings)))
    try:
        yield process
    finally:
        for part in (process.fetcher, process.vendors, process.decoders, process.webhooks, process.storage.database):
            part.close()


@app.command()
def show() -> None:
    """Show each feature space's snapshot: its version and age, and the past jobs and the drift of each source."""
    with _process() as process, process.storage.database.statement() as session:
        for snapshot in bank_repository.list_snapshots(session):
            minutes = (datetime.now(UTC) - snapshot.compiled_at).total_seconds() / 60
            typer.echo(f"{snapshot.space}  {snapshot.version}  {minutes:.0f} minutes old")
            for source, jobs in snapshot.jobs.items():
                change = snapshot.drift.get(source)
                drift = "" if change is None else f"  drift {change:.1f}" + (" (drifted)" if change > DRIFTED else "")
                typer.echo(f"  {source}  {jobs} jobs{drift}")


@app.command()
def rebuild(
    new_basis: Annotated[bool, typer.Option("--new-basis", help="find its directions anew, too")] = False,
) -> None:
    """Compute the bank anew from the features of all jobs that are still there."""
    with _process() as process:
        typer.echo(f"{rebuild_bank(process.storage, new_basis=new_basis)} jobs")


@app.command()
def export(
    file: File,
    space: Annotated[str | None, typer.Option(help="the feature space; that of the default embedder")] = None,
) -> None:
    """Write the bank to a file, without the ids of jobs."""
    with _process() as process:
        data = exported(process.storage, space or feature_space(process.models.embedder().ref))
    file.write_bytes(data)
    typer.echo(f"{file}: {len(data):,} bytes")


@app.command("import")
def import_(file: File) -> None:
    """Add the past jobs in a file behind those of this installation."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: not readable: {error.strerror}") from error
    with _process() as process:
        typer.echo(f"{import_bank(process.storage, unpack_bank(data, str(file)))} jobs")


@app.command()
def warm(
    captions: Annotated[Path, typer.Argument(metavar="CAPTIONS_FILE", help="one caption per line")],
    jobs: Annotated[int, typer.Option(min=1, help="at most so many captions")] = 200,
    budget_seconds: Annotated[float, typer.Option(min=0, help="begin none after so many seconds")] = 3_600,
    images_per_source: Annotated[int, typer.Option(min=1, max=16)] = 4,
    sources: Annotated[str | None, typer.Option(help="separated by commas; all local ones")] = None,
) -> None:
    """Generate captions with the local sources, here and now, and add them to the bank."""
    try:
        lines = [line.strip() for line in captions.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{captions}: not readable as text: {error}") from error
    with _process() as process:
        local = process.models.local_sources()
        if sources is not None:
            asked = {name.strip() for name in sources.split(",")}
            if unknown := asked - {source.id for source in local}:
                raise ConfigurationError(f"No local source is called {', '.join(sorted(unknown))}.")
            local = [source for source in local if source.id in asked]
        if len(local) < 2:
            raise ConfigurationError("The bank learns from sources side by side: at least two local ones are needed.")
        typer.echo(f"{warm_bank(process, lines, local, images_per_source, jobs, budget_seconds)} captions added")
