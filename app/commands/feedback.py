"""`python -m app feedback`: callers' feedback beside the results, for measuring accuracy."""

import json

import typer

from app.commands.session import transaction
from app.jobs import feedback_repository

commands = typer.Typer(name="feedback", help="The true sources that callers reported.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """Keeps `export` a command of its own, also while the group has no other."""


@commands.command()
def export() -> None:
    """Write a line of JSON per job with feedback and a result, of all tenants, in the order of the jobs."""
    with transaction(durable=False) as session:
        for feedback, result in feedback_repository.list_with_results(session):
            line = {
                "job": str(feedback.job_id),
                "tenant": str(feedback.tenant_id),
                "source": feedback.source,
                "in_catalog": feedback.in_catalog,
                "note": feedback.note,
                "reported_at": feedback.created_at.isoformat(),
                "result": result,
            }
            typer.echo(json.dumps(line))
