"""`python -m app screening`: hash lists and text rules, of all tenants or of one.

Importing replaces the content of a list; a file with an error changes nothing.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from app.access import tenant_repository
from app.access.audit import record
from app.commands.session import ACTOR, TenantOption, transaction
from app.errors import InvalidRequest, NotFound
from app.screening import repository
from app.screening.hash_csv import DEFAULT_DISTANCE, MAX_DISTANCE, HashFile
from app.screening.patterns import RuleKind, compile_rule

commands = typer.Typer(
    name="screening", help="Hash lists and text rules; without --tenant those of all tenants.", no_args_is_help=True
)
rules = typer.Typer(name="rules", help="Text rules.", no_args_is_help=True)
commands.add_typer(rules)

ListName = Annotated[str, typer.Option("--list", metavar="NAME")]
RuleName = Annotated[str, typer.Argument(metavar="NAME")]


@commands.command("import")
def import_list(
    name: ListName,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv")],
    max_distance: Annotated[
        int,
        typer.Option(
            min=0, max=MAX_DISTANCE, metavar="BITS", help="an image matches up to this Hamming distance, of 256 bits"
        ),
    ] = DEFAULT_DISTANCE,
    tenant: TenantOption = None,
) -> None:
    """Create or replace a hash list from a CSV file; errors in it are printed line by line."""
    try:
        with file.open("rb") as opened, _owner(tenant) as (session, tenant_id):
            hashes = HashFile(opened)
            list_id, _ = repository.upsert_list(session, tenant_id, name, max_distance, hashes.rows())
            record(session, tenant_id, ACTOR, "hash_list.saved", str(list_id), name=name)
            saved = repository.get_hash_list(session, tenant_id, list_id)
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read: {error.strerror}.") from error
    except InvalidRequest as error:
        for mistake in error.extensions.get("errors", []):
            typer.echo(f"{file}: {mistake['detail']}", err=True)
        raise
    assert saved is not None
    typer.echo(f"{saved.name}: {saved.hashes:,} hashes")
    if hashes.other_types:
        typer.echo(f"ignored: {hashes.other_types:,} lines whose type is not PDQ")
    if hashes.low_quality:
        typer.echo(f"ignored: {hashes.low_quality:,} lines whose quality is below 50")


@commands.command("lists")
def show_lists(tenant: TenantOption = None) -> None:
    """Show the hash lists, one per line."""
    with _owner(tenant) as (session, tenant_id):
        for each in repository.list_hash_lists_owned_by(session, tenant_id):
            typer.echo(
                f"{each.name}\t{each.hashes:,} hashes\tdistance {each.max_distance}\t{each.updated_at:%F %T} UTC"
            )


@commands.command("remove")
def delete_list(name: ListName, tenant: TenantOption = None) -> None:
    """Delete a hash list."""
    with _owner(tenant) as (session, tenant_id):
        found = [each.id for each in repository.list_hash_lists_owned_by(session, tenant_id) if each.name == name]
        if not found:
            raise NotFound(f"There is no hash list {name!r}; `lists` shows them.")
        repository.delete_hash_list(session, tenant_id, found[0])
        record(session, tenant_id, ACTOR, "hash_list.deleted", str(found[0]), name=name)


@rules.command("add")
def save_rule(
    name: RuleName,
    phrases: Annotated[list[str] | None, typer.Argument(metavar="PHRASE", help="words or phrases, in any case")] = None,
    regex: Annotated[str | None, typer.Option(metavar="PATTERN", help="a regular expression in RE2 syntax")] = None,
    tenant: TenantOption = None,
) -> None:
    """Add a rule of phrases or of a regular expression, or replace the one of that name."""
    if bool(phrases) == (regex is not None):
        raise typer.BadParameter("give either phrases or --regex")
    kind = RuleKind.WORDS if phrases else RuleKind.REGEX
    pattern = "\n".join(phrases) if phrases else str(regex)
    compile_rule(kind, pattern)
    with _owner(tenant) as (session, tenant_id):
        rule, _ = repository.upsert_rule(session, tenant_id, name, kind, pattern)
        record(session, tenant_id, ACTOR, "text_rule.saved", str(rule.id), name=name)


@rules.command("list")
def show_rules(tenant: TenantOption = None) -> None:
    """Show the rules, one per line."""
    with _owner(tenant) as (session, tenant_id):
        for rule in repository.list_rules_owned_by(session, tenant_id):
            typer.echo(f"{rule.name}\t{rule.kind}\t{', '.join(rule.pattern.splitlines())}")


@rules.command("remove")
def delete_rule(name: RuleName, tenant: TenantOption = None) -> None:
    """Delete a rule."""
    with _owner(tenant) as (session, tenant_id):
        found = [rule.id for rule in repository.list_rules_owned_by(session, tenant_id) if rule.name == name]
        if not found:
            raise NotFound(f"There is no text rule {name!r}; `rules list` shows them.")
        repository.delete_rule(session, tenant_id, found[0])
        record(session, tenant_id, ACTOR, "text_rule.deleted", str(found[0]), name=name)


@contextmanager
def _owner(tenant: str | None) -> Iterator[tuple[Session, uuid.UUID | None]]:
    """A transaction, and the owner of the lists and rules; None: all tenants. Raises NotFound."""
    with transaction() as session:
        yield session, None if tenant is None else tenant_repository.get_by_name(session, tenant).id
