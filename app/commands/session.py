"""What the commands that manage tenants and keys share: a transaction, durations as people write them, and a name."""

import re
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from app.db.database import Database, connect
from app.settings import Settings

# As the audit log names who is at the command line.
ACTOR = "operator"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def transaction(settings: Settings) -> Iterator[Session]:
    """A transaction on a connection of its own."""
    database = Database(connect(settings.database))
    try:
        with database.transaction() as session:
            yield session
    finally:
        database.close()


def duration(text: str) -> timedelta:
    """`30m`, `12h` or `90d`."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a duration such as 30m, 12h or 90d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def number(text: str) -> int:
    """A whole number above zero."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def amount(text: str) -> Decimal:
    """US dollars such as 2 or 0.50."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", text):
        raise ArgumentTypeError(f"{text!r} is not an amount such as 2 or 0.50")
    return Decimal(text)


def switch_of(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"
