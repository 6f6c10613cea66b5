"""/livez and /readyz: what stops accepting jobs is a 503, what only delays them is `degraded`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from fastapi.testclient import TestClient
from pydantic import SecretStr
from redis import ConnectionError as RedisConnectionError
from redis import Redis
from sqlalchemy import text

from app.db.database import SCHEMA_HEAD, Database
from app.queue.heartbeats import Heartbeats

NOWHERE = SecretStr("redis://127.0.0.1:1/0")
REPOSITORY = Path(__file__).parents[3]


def test_a_service_without_warm_workers_is_degraded_and_with_them_ok(client: TestClient, redis: Redis):
    """Each role counts; the heartbeat of the last one makes the service ok."""
    cold = client.get("/readyz")
    assert (cold.status_code, cold.json()["status"]) == (200, "degraded")
    assert cold.json()["checks"]["postgres"] == {"status": "ok"}
    assert cold.json()["checks"]["migrations"] == {
        "status": "ok",
        "head": SCHEMA_HEAD,
        "current": SCHEMA_HEAD,
    }
    assert cold.json()["checks"]["redis"] == {"status": "ok"}
    workers = cold.json()["checks"]["workers"]
    assert workers == {"status": "down", "warm": {"light": 0, "caption": 0, "embed": 0, "local": 0}}
    for role in workers["warm"]:
        assert client.get("/readyz").json()["status"] == "degraded"
        Heartbeats(redis).beat(role, "one")
    warm = client.get("/readyz").json()
    assert warm["status"] == "ok"
    assert warm["checks"]["workers"]["warm"] == {"light": 1, "caption": 1, "embed": 1, "local": 1}


def test_without_redis_the_service_is_degraded(start: Callable[..., TestClient]):
    """Jobs can still be accepted."""
    answer = start(redis={"url": NOWHERE}).get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["redis"] == {"status": "down"}


def test_redis_that_is_lost_between_two_checks_is_down(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    """Each of the checks may be the first that does not reach it."""

    def lost(_: Heartbeats) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(Heartbeats, "refusal", lost)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["redis"]) == (200, {"status": "down"})


def test_without_postgres_the_service_is_not_ready_but_alive(start: Callable[..., TestClient]):
    """The 503 is a problem with the checks; liveness does not use Postgres."""
    client = start(database={"url": SecretStr("postgresql://app:secret@127.0.0.1:1/app")})
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/not-ready"
    assert answer.json()["checks"]["postgres"] == {"status": "down"}
    assert client.get("/livez").json() == {"status": "ok"}


def test_another_schema_is_not_ready(client: TestClient, database: Database):
    """Both revisions are shown, so that an operator sees which one is older."""
    try:
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        answer = client.get("/readyz")
    finally:
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": SCHEMA_HEAD})
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == {
        "status": "down",
        "head": SCHEMA_HEAD,
        "current": "0000",
    }


def test_a_newer_schema_is_ready(client: TestClient, database: Database):
    """Migrations stay compatible with the version before, so that processes can be replaced one by one."""
    try:
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        answer = client.get("/readyz")
    finally:
        with database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": SCHEMA_HEAD})
    assert answer.status_code == 200
    assert answer.json()["checks"]["migrations"]["status"] == "ok"


def test_the_required_revision_is_alembics_head():
    """The newest migration is the one that the code requires."""
    assert ScriptDirectory(str(REPOSITORY / "alembic")).get_current_head() == SCHEMA_HEAD
