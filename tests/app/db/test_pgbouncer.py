"""The service behind PgBouncer in transaction mode, where every transaction may have another session of Postgres."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import devstack
from app.db.database import Database, connect
from app.settings import DatabaseSettings
from tests.app.images import encoded
from tests.conftest import alembic

pytestmark = pytest.mark.pgbouncer


def test_the_session_is_not_touched(pooled: dict[str, Any], pooled_url: str) -> None:
    """Each transaction has all limits, by many threads at once, and no other client of the pooler gets them."""
    database = Database(connect(DatabaseSettings(**pooled)))
    limits = "SELECT string_agg(current_setting(name), ' ') FROM unnest(CAST(:names AS text[])) AS name"
    names = ["lock_timeout", "statement_timeout", "timezone", "synchronous_commit"]

    def read(_: int) -> tuple[str, str]:
        with database.transaction() as session:
            durable = session.scalars(text(limits), {"names": names}).one()
        with database.statement() as session:
            return durable, session.scalars(text(limits), {"names": names}).one()

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(read, range(100)))
    assert found == {("10s 15s UTC on", "10s 15s UTC off")}
    database.close()
    with psycopg.connect(pooled_url, prepare_threshold=None) as other:
        assert other.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_job_is_accepted_listed_and_deleted(start: Callable[..., TestClient], pooled: dict[str, Any]) -> None:
    """The whole API works, as often as prepared statements would have been made."""
    client = start(database=pooled)
    for _ in range(8):
        answer = client.post("/attribute", files={"image": encoded()})
        assert answer.status_code == 202, answer.text
        location = answer.headers["location"]
        assert client.get(location).json() == answer.json()
        assert answer.json()["created_at"].endswith("Z")
    assert len(client.get("/attribute").json()["jobs"]) == 8
    assert client.delete(location).status_code == 204
    assert client.get("/readyz").json()["checks"]["migrations"]["status"] == "ok"


def test_migrations_run_through_it(
    migrated: devstack.Servers, pooled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their lock is one of the transaction."""
    monkeypatch.setenv("DATABASE__POOLER", "true")
    monkeypatch.setenv("DATABASE__PREPARED_STATEMENTS", "false")
    alembic(migrated, "upgrade", "head", database_url=pooled_url)


def test_without_the_setting_it_refuses_the_connection(pooled_url: str) -> None:
    """What the setting is for: parameters of a session are refused at the start."""
    database = Database(connect(DatabaseSettings(url=SecretStr(pooled_url))))
    with pytest.raises(OperationalError, match="options"), database.statement() as session:
        session.execute(text("SELECT 1"))
    database.close()
