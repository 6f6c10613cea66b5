"""The operator's command line, `python -m app`: one group of commands per module of `app.commands`."""

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from app.commands import audit, feedback, keys, screening, tenants
from app.errors import ServiceError


class ServiceErrorGroup(TyperGroup):
    """A group that ends with a sentence on standard error and status 2 where a command raises a ServiceError."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises typer's Exit."""
        try:
            return super().invoke(ctx)
        except ServiceError as error:
            typer.echo(error, err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    name="admin",
    cls=ServiceErrorGroup,
    help="Manage tenants, API keys, screening, feedback and the audit log.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it would hide the rest of a stack trace, and may show secrets
)
for module in (tenants, keys, screening, feedback, audit):
    app.add_typer(module.commands)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status, 2 for an error that the operator can fix."""
    try:
        app(arguments, prog_name="python -m app")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
