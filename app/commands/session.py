"""What the groups of commands share: a transaction, the actor in the audit log, and parsers of option values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from app.db.database import Database, connect
from app.settings import load_settings, parse_duration

ACTOR = "operator"
# The value of a tenant's option that removes the tenant's own value.
DEFAULT = "default"

TenantOption = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="of this tenant only")]


@contextmanager
def transaction(durable: bool = True) -> Iterator[Session]:
    """A transaction on a connection of its own, as long as it takes: a hash list may have millions of hashes."""
    database = Database(connect(load_settings().database, limited=False))
    try:
        with database.transaction(durable=durable) as session:
            yield session
    finally:
        database.close()


def duration(text: str) -> timedelta:
    """Such as 12h or 90d. Raises typer's BadParameter."""
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if value <= timedelta(0):
        raise typer.BadParameter("must be longer than zero")
    return value


def count(text: str) -> int:
    """A whole number above zero. Raises typer's BadParameter."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000_000):
        raise typer.BadParameter(f"{text!r} is not a whole number above zero")
    return int(text)


def byte_count(text: str) -> int:
    """A number of bytes above zero. Raises typer's BadParameter."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**18):
        raise typer.BadParameter(f"{text!r} is not a number of bytes above zero")
    return int(text)


def amount(text: str) -> Decimal:
    """US dollars such as 2 or 0.50. Raises typer's BadParameter."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not text.replace(".", "", 1).isdecimal() or not 0 <= value < 100_000 or value != round(value, 6):
        raise typer.BadParameter(f"{text!r} is not an amount such as 2 or 0.50")
    return value


def true_or_false(text: str) -> bool:
    """`true` or `false`. Raises typer's BadParameter."""
    if text not in ("true", "false"):
        raise typer.BadParameter(f"{text!r} is neither true nor false")
    return text == "true"


def or_default(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same parser, which also accepts DEFAULT."""
    return lambda text: DEFAULT if text == DEFAULT else parse(text)
