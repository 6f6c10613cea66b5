"""`python -m app audit`: the audit log."""

import json
from typing import Annotated

import typer

from app.access import tenant_repository
from app.access.audit import list_entries
from app.commands.session import TenantOption, transaction

commands = typer.Typer(name="audit", help="The audit log: who did what.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """Keeps `list` a command of its own, also while the group has no other."""


@commands.command("list")
def show(
    tenant: TenantOption = None,
    subject: Annotated[str | None, typer.Option(metavar="ID", help="on this job, key, endpoint or list")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="entries")] = 100,
) -> None:
    """Show the entries, newest first, one per line."""
    with transaction() as session:
        tenant_id = None if tenant is None else tenant_repository.get_by_name(session, tenant).id
        for entry in list_entries(session, tenant_id, subject, None, limit):
            detail = json.dumps(entry.detail, ensure_ascii=False) if entry.detail else ""
            typer.echo(f"{entry.at:%F %T}  {entry.actor}  {entry.action}  {entry.subject}  {detail}".rstrip())
