"""`python -m app keys`: API keys. A key is printed once, when it is created; the database has only its hash."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from app.access import issuing, key_repository, tenant_repository
from app.access.identity import Scope
from app.commands.session import ACTOR, duration, transaction
from app.db.models import ApiKey
from app.errors import NotFound

commands = typer.Typer(name="keys", help="API keys.", no_args_is_help=True)

_MAX_SHOWN = 1_000
Tenant = Annotated[str, typer.Option(metavar="NAME")]


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(name.strip()) for name in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"scopes are {', '.join(Scope)}") from error


@commands.command()
def create(
    name: Annotated[str, typer.Option(help="what it is for")],
    scopes: Annotated[
        frozenset[Scope], typer.Option(parser=_scopes, metavar="submit,read,admin", help="none implies another")
    ],
    tenant: Tenant = "default",
    expires: Annotated[
        timedelta | None, typer.Option(parser=duration, metavar="TIME", help="such as 90d or 12h; by default never")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="instead of the tenant's limit")
    ] = None,
) -> None:
    """Create a key; standard output is the key and nothing else."""
    with transaction() as session:
        owner = tenant_repository.get_by_name(session, tenant)
        key, text = issuing.issue(
            session,
            owner.id,
            ACTOR,
            name,
            scopes,
            expires_at=None if expires is None else datetime.now(UTC) + expires,
            requests_per_minute=requests_per_minute,
        )
    typer.echo(f"key {key.id} of tenant {owner.name}; it is not shown again:", err=True)
    typer.echo(text)


@commands.command("list")
def show(tenant: Tenant = "default") -> None:
    """Show a tenant's keys, newest first, one per line."""
    with transaction() as session:
        owner = tenant_repository.get_by_name(session, tenant)
        for key in key_repository.list_for_tenant(session, owner.id, None, _MAX_SHOWN):
            typer.echo("  ".join([str(key.id), key.prefix, ",".join(key.scopes), key.name, *_state(key)]))


def _state(key: ApiKey) -> list[str]:
    state = []
    if key.revoked_at is not None:
        state.append(f"revoked {key.revoked_at:%F %T}")
    if key.expires_at is not None:
        state.append(f"expires {key.expires_at:%F %T}")
    state.append("never used" if key.last_used_at is None else f"used {key.last_used_at:%F %H:%M}")
    return state


@commands.command()
def revoke(key_id: Annotated[uuid.UUID, typer.Argument(metavar="ID")]) -> None:
    """Revoke a key permanently."""
    with transaction() as session:
        key = session.get(ApiKey, key_id)
        if key is None:
            raise NotFound(f"There is no key {key_id}; `keys list` shows them.")
        issuing.revoke(session, key, ACTOR)
