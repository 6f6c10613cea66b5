"""`python -m app keys …`: API keys. A key is printed once, when it is made; the database knows its hash only."""

import argparse
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from app.access import issuing, key_repository, tenant_repository
from app.access.scopes import Scope
from app.commands.session import ACTOR, duration, number, transaction
from app.db.models import ApiKey
from app.errors import NotFound
from app.settings import Settings

_MOST = 1_000


def add_commands(groups: Any) -> None:
    """Adds the group's parsers."""
    group = groups.add_parser("keys", help="API keys", description=__doc__)
    commands = group.add_subparsers(required=True, metavar="command")
    whose = argparse.ArgumentParser(add_help=False)
    whose.add_argument("--tenant", metavar="NAME", default="default", help="whose (default: the tenant `default`)")

    making = commands.add_parser("create", parents=[whose], help="make a key; nothing else is on standard output")
    making.add_argument("--name", required=True, help="what it is for")
    making.add_argument(
        "--scopes", type=_scopes, required=True, metavar="submit,read,admin", help="none implies another"
    )
    making.add_argument("--expires", type=duration, metavar="TIME", help="such as 90d or 12h; without it, never")
    making.add_argument("--requests-per-minute", type=number, metavar="N", help="other than the tenant's")
    making.set_defaults(run=create)
    commands.add_parser("list", parents=[whose], help="show a tenant's keys").set_defaults(run=show)
    revoking = commands.add_parser("revoke", help="revoke a key for good")
    revoking.add_argument("id", type=uuid.UUID, metavar="ID")
    revoking.set_defaults(run=revoke)


def _scopes(text: str) -> frozenset[Scope]:
    try:
        return frozenset(Scope(name.strip()) for name in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"scopes are {', '.join(Scope)}") from error


def create(settings: Settings, given: argparse.Namespace) -> None:
    """Makes a key and prints it. Raises NotFound for an unknown tenant."""
    expires_at = None if given.expires is None else datetime.now(UTC) + given.expires
    with transaction(settings) as session:
        tenant = tenant_repository.get_by_name(session, given.tenant)
        key, text = issuing.issue(
            session,
            tenant.id,
            ACTOR,
            given.name,
            given.scopes,
            expires_at=expires_at,
            requests_per_minute=given.requests_per_minute,
        )
    print(f"key {key.id} of tenant {tenant.name}; it is not shown again:", file=sys.stderr)
    print(text)


def show(settings: Settings, given: argparse.Namespace) -> None:
    """Prints a line per key, newest first."""
    with transaction(settings) as session:
        for key in key_repository.list_for_tenant(
            session, tenant_repository.get_by_name(session, given.tenant).id, None, _MOST
        ):
            scopes = ",".join(key.scopes)
            print("  ".join([str(key.id), key.prefix, scopes, key.name, *_state(key)]))


def _state(key: ApiKey) -> list[str]:
    said = []
    if key.revoked_at is not None:
        said.append(f"revoked {key.revoked_at:%F %T}")
    if key.expires_at is not None:
        said.append(f"expires {key.expires_at:%F %T}")
    said.append("never used" if key.last_used_at is None else f"used {key.last_used_at:%F %H:%M}")
    return said


def revoke(settings: Settings, given: argparse.Namespace) -> None:
    """Revokes a key. Raises NotFound."""
    with transaction(settings) as session:
        key = session.get(ApiKey, given.id)
        if key is None:
            raise NotFound(f"There is no key {given.id}; `keys list` shows them.")
        issuing.revoke(session, key, ACTOR)
