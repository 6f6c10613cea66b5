"""`python -m app screening …`: hash lists and text rules, everybody's or one tenant's.

A list or rule without `--tenant` is everybody's. Importing replaces what the list held; a file with a mistake changes
nothing.
"""

import argparse
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access.audit import record
from app.db.database import Database, connect
from app.db.models import Tenant
from app.errors import InvalidRequest, NotFound
from app.screening import repository as store
from app.screening.hash_csv import DEFAULT_DISTANCE, MAX_DISTANCE, HashFile
from app.screening.patterns import RuleKind, compile_rule
from app.settings import Settings

ACTOR = "operator"


def add_commands(groups: Any) -> None:
    """Adds the group's parsers."""
    group = groups.add_parser("screening", help="what must not be generated after", description=__doc__)
    commands = group.add_subparsers(required=True, metavar="command")
    whose = argparse.ArgumentParser(add_help=False)
    whose.add_argument("--tenant", metavar="NAME", help="a tenant's own; without it, everybody's")

    importing = commands.add_parser("import", parents=[whose], help="make a hash list of a CSV file")
    importing.add_argument("--list", required=True, metavar="NAME", dest="name")
    importing.add_argument(
        "--max-distance", type=int, choices=range(MAX_DISTANCE + 1), default=DEFAULT_DISTANCE, metavar="BITS",
        help=f"bits of 256 by which an image's hash may differ, 0 to {MAX_DISTANCE} (default: {DEFAULT_DISTANCE})",
    )  # fmt: skip
    importing.add_argument("file", type=Path, metavar="FILE.csv")
    importing.set_defaults(run=import_list)
    commands.add_parser("lists", parents=[whose], help="show the hash lists").set_defaults(run=show_lists)
    removing = commands.add_parser("remove", parents=[whose], help="remove a hash list")
    removing.add_argument("--list", required=True, metavar="NAME", dest="name")
    removing.set_defaults(run=remove_list)

    rules = commands.add_parser("rules", help="text rules").add_subparsers(required=True, metavar="command")
    adding = rules.add_parser("add", parents=[whose], help="add a rule, or replace the one of that name")
    adding.add_argument("name", metavar="NAME")
    kind = adding.add_mutually_exclusive_group(required=True)
    kind.add_argument("--words", nargs="+", metavar="PHRASE", help="words or phrases, in any case")
    kind.add_argument("--regex", metavar="PATTERN", help="a regular expression as RE2 has it")
    adding.set_defaults(run=add_rule)
    rules.add_parser("list", parents=[whose], help="show the rules").set_defaults(run=show_rules)
    dropping = rules.add_parser("remove", parents=[whose], help="remove a rule")
    dropping.add_argument("name", metavar="NAME")
    dropping.set_defaults(run=remove_rule)


def import_list(settings: Settings, given: argparse.Namespace) -> None:
    """Makes a list what the file says. Raises InvalidRequest after printing what is wrong, line by line."""
    try:
        with given.file.open("rb") as file, _opened(settings, given) as (session, tenant_id):
            hashes = HashFile(file)
            list_id, _ = store.upsert_list(session, tenant_id, given.name, given.max_distance, hashes.rows())
            record(session, tenant_id, ACTOR, "hash_list.saved", str(list_id), name=given.name)
            saved = store.get_hash_list(session, tenant_id, list_id)
    except OSError as error:
        raise InvalidRequest(f"{given.file} cannot be read: {error.strerror}.") from error
    except InvalidRequest as error:
        for mistake in error.extensions.get("errors", []):
            print(f"{given.file}: {mistake['detail']}", file=sys.stderr)
        raise
    assert saved is not None
    print(f"{saved.name}: {saved.hashes:,} hashes")
    if hashes.other_types:
        print(f"left out: {hashes.other_types:,} lines whose type is not PDQ")
    if hashes.low_quality:
        print(f"left out: {hashes.low_quality:,} lines whose quality is below 50")


def show_lists(settings: Settings, given: argparse.Namespace) -> None:
    """Prints a line per list."""
    with _opened(settings, given) as (session, tenant_id):
        for each in store.list_hash_lists_owned_by(session, tenant_id):
            print(f"{each.name}\t{each.hashes:,} hashes\tdistance {each.max_distance}\t{each.updated_at:%F %T} UTC")


def remove_list(settings: Settings, given: argparse.Namespace) -> None:
    """Removes the list of that name. Raises NotFound."""
    with _opened(settings, given) as (session, tenant_id):
        found = [each.id for each in store.list_hash_lists_owned_by(session, tenant_id) if each.name == given.name]
        if not found:
            raise NotFound(f"There is no hash list {given.name!r}; `lists` shows them.")
        store.delete_hash_list(session, tenant_id, found[0])
        record(session, tenant_id, ACTOR, "hash_list.removed", str(found[0]), name=given.name)


def add_rule(settings: Settings, given: argparse.Namespace) -> None:
    """Adds or replaces a rule. Raises InvalidRequest for a pattern that cannot be taken."""
    kind = RuleKind.WORDS if given.words else RuleKind.REGEX
    pattern = "\n".join(given.words) if given.words else given.regex
    compile_rule(kind, pattern)
    with _opened(settings, given) as (session, tenant_id):
        rule, _ = store.upsert_rule(session, tenant_id, given.name, kind, pattern)
        record(session, tenant_id, ACTOR, "text_rule.saved", str(rule.id), name=given.name)


def show_rules(settings: Settings, given: argparse.Namespace) -> None:
    """Prints a line per rule."""
    with _opened(settings, given) as (session, tenant_id):
        for rule in store.list_rules_owned_by(session, tenant_id):
            print(f"{rule.name}\t{rule.kind}\t{', '.join(rule.pattern.splitlines())}")


def remove_rule(settings: Settings, given: argparse.Namespace) -> None:
    """Removes the rule of that name. Raises NotFound."""
    with _opened(settings, given) as (session, tenant_id):
        found = [rule.id for rule in store.list_rules_owned_by(session, tenant_id) if rule.name == given.name]
        if not found:
            raise NotFound(f"There is no text rule {given.name!r}; `rules list` shows them.")
        store.delete_rule(session, tenant_id, found[0])
        record(session, tenant_id, ACTOR, "text_rule.removed", str(found[0]), name=given.name)


@contextmanager
def _opened(settings: Settings, given: argparse.Namespace) -> Iterator[tuple[Session, uuid.UUID | None]]:
    """A transaction, and whose lists and rules the command is about. Raises NotFound for an unknown tenant."""
    database = Database(connect(settings.database))
    try:
        with database.transaction() as session:
            tenant_id = None
            if given.tenant is not None:
                tenant_id = session.scalar(select(Tenant.id).where(Tenant.name == given.tenant))
                if tenant_id is None:
                    raise NotFound(f"There is no tenant {given.tenant!r}.")
            yield session, tenant_id
    finally:
        database.close()
