"""The statement that accepts a job: what psycopg keeps of it."""

from sqlalchemy.dialects.postgresql import psycopg

from app.jobs.acceptance import ACCEPT

# Of longer statements psycopg does not keep how it rewrote them, and rewrites them each time.
KEPT_LENGTH = 4_096


def test_the_statement_is_short_enough_to_be_kept() -> None:
    """With all columns and parameters the statement is no longer than what psycopg keeps."""
    assert len(str(ACCEPT.compile(dialect=psycopg.dialect()))) <= KEPT_LENGTH
