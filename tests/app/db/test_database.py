"""Connections that lay idle: what they prepared stays prepared, and those that are gone are replaced."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from app.db import database as module
from app.db.database import Database, connect
from app.settings import Settings


@pytest.fixture
def alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A door with a single connection, that counts as idle as soon as it is given back."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    opened = Database(connect(settings.database.model_copy(update={"pool_size": 1, "max_overflow": 0})))
    yield opened
    opened.close()


def ask(database: Database, sql: str) -> int:
    """The one number that a statement gives."""
    with database.statement() as session:
        return int(session.execute(text(sql), {"n": 1}).scalar_one())


def test_what_is_asked_often_stays_prepared(alone: Database):
    """After six times the driver has prepared a statement; looking whether Postgres is there does not undo it."""
    for _ in range(7):
        ask(alone, "SELECT 1 + CAST(:n AS int)")
    assert ask(alone, "SELECT count(*) FROM pg_prepared_statements WHERE :n = 1 AND statement LIKE 'SELECT 1 +%'") == 1


def test_a_connection_that_was_cut_is_replaced(alone: Database, database: Database):
    """A restart of Postgres causes no error in later requests."""
    cut = ask(alone, "SELECT pg_backend_pid() WHERE :n = 1")
    ask(database, f"SELECT CASE WHEN pg_terminate_backend({cut}, 5000) THEN :n END")
    assert ask(alone, "SELECT pg_backend_pid() WHERE :n = 1") != cut
