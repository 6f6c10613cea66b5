"""The schema this code was written for, and the one Postgres has: `/readyz` compares them."""

from sqlalchemy import text
from sqlalchemy.orm import Session

# The newest revision in alembic/versions, which the API does not carry; a test compares.
HEAD = "0001"


def current(session: Session) -> str | None:
    """The revision that Postgres is at; None for an empty database."""
    if session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found
