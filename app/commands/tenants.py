"""`python -m app tenants …`: whom jobs and keys belong to, how much they may ask for, how long theirs is kept.

`default` as a limit, a duration, an amount or a switch is the installation's own.
"""

import argparse
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from app.access import tenant_repository
from app.access.audit import record
from app.commands.session import ACTOR, amount, duration, number, switch_of, transaction
from app.settings import Settings

_LIMITS = {"requests_per_minute": "of each key", "concurrent_jobs": "jobs that have not ended"}
_SPENT = {
    "budget_usd": "what a job may spend on vendors where it does not say, in US dollars",
    "max_budget_usd": "what a job may say at most",
}
_KEPT_IN = {"local_only": "true: no caption ever leaves the house"}
_RETAINED = {
    "retain_images": "the query image and the generated images",
    "retain_captions": "captions, prompts, and what files said of themselves",
    "retain_results": "everything else",
}


def add_commands(groups: Any) -> None:
    """Adds the group's parsers."""
    group = groups.add_parser("tenants", help="whom jobs and keys belong to", description=__doc__)
    commands = group.add_subparsers(required=True, metavar="command")
    who = argparse.ArgumentParser(add_help=False)
    who.add_argument("name", metavar="NAME")

    commands.add_parser("create", parents=[who], help="add a tenant").set_defaults(run=create)
    commands.add_parser("list", help="show the tenants").set_defaults(run=show)
    limiting = commands.add_parser("limit", parents=[who], help="set how much a tenant may ask for")
    _options(limiting, _LIMITS, number, "N")
    limiting.set_defaults(run=change, members=_LIMITS, action="tenant.limited")
    spending = commands.add_parser("spend", parents=[who], help="set what is spent on vendors, or that none is asked")
    _options(spending, _SPENT, amount, "USD")
    _options(spending, _KEPT_IN, switch_of, "true|false")
    spending.set_defaults(run=change, members={**_SPENT, **_KEPT_IN}, action="tenant.spending_changed")
    retaining = commands.add_parser("retain", parents=[who], help="set how long a tenant's things are kept")
    _options(retaining, _RETAINED, duration, "TIME")
    retaining.set_defaults(run=change, members=_RETAINED, action="tenant.retention_changed")
    commands.add_parser("disable", parents=[who], help="refuse all keys of a tenant").set_defaults(run=switch, on=False)
    commands.add_parser("enable", parents=[who], help="accept its keys again").set_defaults(run=switch, on=True)


def _options(parser: argparse.ArgumentParser, members: dict[str, str], kind: Callable[[str], Any], unit: str) -> None:
    def value(text: str) -> Any:
        return None if text == "default" else kind(text)

    for member, help_text in members.items():
        flag = "--" + member.removeprefix("retain_").replace("_", "-")
        parser.add_argument(flag, dest=member, type=value, metavar=unit, default=argparse.SUPPRESS, help=help_text)


def create(settings: Settings, given: argparse.Namespace) -> None:
    """Adds a tenant. Raises InvalidRequest where there is one of that name."""
    with transaction(settings) as session:
        tenant = tenant_repository.insert(session, given.name)
        record(session, tenant.id, ACTOR, "tenant.created", str(tenant.id), name=tenant.name)
    print(f"{tenant.id}  {tenant.name}")


def show(settings: Settings, given: argparse.Namespace) -> None:
    """Prints a line per tenant, with what it has other than the default."""
    with transaction(settings) as session:
        for tenant in tenant_repository.list_all(session):
            own = {member: getattr(tenant, member) for member in (*_LIMITS, *_SPENT, *_KEPT_IN, *_RETAINED)}
            said = [f"{member}={_shown(value)}" for member, value in own.items() if value is not None]
            if tenant.disabled_at is not None:
                said.append(f"disabled since {tenant.disabled_at:%F %T} UTC")
            print("  ".join([str(tenant.id), tenant.name, *said]))


def _shown(value: int | bool | Decimal | timedelta) -> str:
    if isinstance(value, timedelta):
        return f"{value / timedelta(days=1):g}d"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value).lower()


def change(settings: Settings, given: argparse.Namespace) -> None:
    """Sets the limits, amounts or durations that are given, and leaves the others. Raises NotFound."""
    values = {member: getattr(given, member) for member in given.members if hasattr(given, member)}
    with transaction(settings) as session:
        tenant = tenant_repository.get_by_name(session, given.name)
        if values:
            tenant_repository.update_limits(session, tenant.id, values)
            detail = {member: None if value is None else str(value) for member, value in values.items()}
            record(session, tenant.id, ACTOR, given.action, str(tenant.id), **detail)


def switch(settings: Settings, given: argparse.Namespace) -> None:
    """Refuses all keys of a tenant from now on, or accepts them again. Raises NotFound."""
    with transaction(settings) as session:
        tenant = tenant_repository.get_by_name(session, given.name)
        tenant_repository.set_enabled(session, tenant.id, given.on)
        record(session, tenant.id, ACTOR, "tenant.enabled" if given.on else "tenant.disabled", str(tenant.id))
