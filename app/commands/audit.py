"""`python -m app audit list`: who read or deleted what, and who changed the rules."""

import argparse
import json
from typing import Any

from app.access import tenant_repository
from app.access.audit import list_entries
from app.commands.session import number, transaction
from app.settings import Settings


def add_commands(groups: Any) -> None:
    """Adds the group's parsers."""
    group = groups.add_parser("audit", help="who did what", description=__doc__)
    commands = group.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="show what was done, newest first")
    listing.add_argument("--tenant", metavar="NAME", help="to one tenant's things; without it, to anybody's")
    listing.add_argument("--subject", metavar="ID", help="to this job, key, endpoint or list")
    listing.add_argument("--limit", type=number, default=100, metavar="N", help="entries (default: 100)")
    listing.set_defaults(run=show)


def show(settings: Settings, given: argparse.Namespace) -> None:
    """Prints a line per entry. Raises NotFound for an unknown tenant."""
    with transaction(settings) as session:
        tenant_id = None if given.tenant is None else tenant_repository.get_by_name(session, given.tenant).id
        for entry in list_entries(session, tenant_id, given.subject, None, given.limit):
            detail = json.dumps(entry.detail, ensure_ascii=False) if entry.detail else ""
            print(f"{entry.at:%F %T}  {entry.actor}  {entry.action}  {entry.subject}  {detail}".rstrip())
