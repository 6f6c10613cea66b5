"""`python -m app tenants`: the owners of jobs and keys, with their limits, spending and retention.

`default` as a value removes the tenant's own one, so that the installation's applies again.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import typer

from app.access import tenant_repository
from app.access.audit import record
from app.commands.session import (
    ACTOR,
    DEFAULT,
    amount,
    byte_count,
    count,
    duration,
    or_default,
    transaction,
    true_or_false,
)
from app.db import bank_repository
from app.jobs import contribution_repository

commands = typer.Typer(name="tenants", help="Tenants: the owners of jobs and keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
_SHOWN = (
    *("requests_per_minute", "concurrent_jobs", "jobs_per_day", "bytes_per_day"),
    *("budget_usd", "max_budget_usd", "local_only", "contribute"),
    *("retain_images", "retain_captions", "retain_results"),
)


def _option(parse: Any, metavar: str, text: str) -> Any:
    return typer.Option(parser=or_default(parse), metavar=metavar, help=text)


@commands.command()
def create(name: Name) -> None:
    """Create a tenant."""
    with transaction() as session:
        tenant = tenant_repository.insert(session, name)
        record(session, tenant.id, ACTOR, "tenant.created", str(tenant.id), name=tenant.name)
    typer.echo(f"{tenant.id}  {tenant.name}")


@commands.command("list")
def show() -> None:
    """Show the tenants with their own values, one per line."""
    with transaction() as session:
        for tenant in tenant_repository.list_all(session):
            own = {member: getattr(tenant, member) for member in _SHOWN}
            values = [f"{member}={_text(value)}" for member, value in own.items() if value is not None]
            if tenant.disabled_at is not None:
                values.append(f"disabled since {tenant.disabled_at:%F %T} UTC")
            typer.echo("  ".join([str(tenant.id), tenant.name, *values]))


def _text(value: int | bool | Decimal | timedelta) -> str:
    if isinstance(value, timedelta):
        return f"{value / timedelta(days=1):g}d"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value).lower()


@commands.command()
def limit(
    name: Name,
    requests_per_minute: Annotated[Any, _option(count, "N", "of each key")] = None,
    concurrent_jobs: Annotated[Any, _option(count, "N", "jobs that have not ended")] = None,
    jobs_per_day: Annotated[Any, _option(count, "N", "jobs submitted on a day, UTC")] = None,
    bytes_per_day: Annotated[Any, _option(byte_count, "N", "bytes uploaded and fetched on a day, UTC")] = None,
) -> None:
    """Set a tenant's limits; what is omitted stays."""
    values = {"requests_per_minute": requests_per_minute, "concurrent_jobs": concurrent_jobs}
    _change(name, "tenant.limited", **values, jobs_per_day=jobs_per_day, bytes_per_day=bytes_per_day)


@commands.command()
def spend(
    name: Name,
    budget_usd: Annotated[Any, _option(amount, "USD", "of a job without a budget of its own")] = None,
    max_budget_usd: Annotated[Any, _option(amount, "USD", "upper bound of a job's own budget")] = None,
    local_only: Annotated[
        Any, _option(true_or_false, "true|false", "true: captions are never sent to third parties")
    ] = None,
) -> None:
    """Set what a tenant's jobs may spend on vendors, or that they use none; what is omitted stays."""
    values = {"budget_usd": budget_usd, "max_budget_usd": max_budget_usd, "local_only": local_only}
    _change(name, "tenant.spending_changed", **values)


@commands.command()
def bank(
    name: Name,
    contribute: Annotated[
        Any, _option(true_or_false, "true|false", "false: no job contributes, and what jobs contributed is deleted")
    ],
) -> None:
    """Set whether a tenant's jobs contribute to the bank of past jobs; by default they do."""
    with transaction() as session:
        tenant = tenant_repository.get_by_name(session, name)
        tenant_repository.update_limits(session, tenant.id, {"contribute": False if contribute is False else None})
        deleted = 0
        if contribute is False:
            contribution_repository.exclude_tenant(session, tenant.id)
            deleted = bank_repository.delete_contributions_of_tenant(session, tenant.id)
        allowed = str(contribute is not False)
        record(session, tenant.id, ACTOR, "tenant.bank_changed", str(tenant.id), contribute=allowed)
    typer.echo(f"{deleted} contributions deleted")


@commands.command()
def retain(
    name: Name,
    images: Annotated[Any, _option(duration, "TIME", "query image and generated images")] = None,
    captions: Annotated[Any, _option(duration, "TIME", "captions, prompts and evidence in files")] = None,
    results: Annotated[Any, _option(duration, "TIME", "everything else")] = None,
) -> None:
    """Set how long a tenant's data is kept; what is omitted stays."""
    values = {"retain_images": images, "retain_captions": captions, "retain_results": results}
    _change(name, "tenant.retention_changed", **values)


def _change(name: str, action: str, **given: Any) -> None:
    values = {member: None if value == DEFAULT else value for member, value in given.items() if value is not None}
    with transaction() as session:
        tenant = tenant_repository.get_by_name(session, name)
        if values:
            tenant_repository.update_limits(session, tenant.id, values)
            detail = {member: None if value is None else str(value) for member, value in values.items()}
            record(session, tenant.id, ACTOR, action, str(tenant.id), **detail)


@commands.command()
def disable(name: Name) -> None:
    """Refuse all keys of a tenant."""
    _switch(name, on=False)


@commands.command()
def enable(name: Name) -> None:
    """Accept a tenant's keys again."""
    _switch(name, on=True)


def _switch(name: str, on: bool) -> None:
    with transaction() as session:
        tenant = tenant_repository.get_by_name(session, name)
        tenant_repository.set_enabled(session, tenant.id, on)
        record(session, tenant.id, ACTOR, "tenant.enabled" if on else "tenant.disabled", str(tenant.id))
