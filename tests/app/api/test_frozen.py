"""Postgres and Redis that neither answer nor refuse: stopped processes with open connections."""

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from redis import Redis

import devstack
from app.db.database import Database
from devstack.frozen import frozen
from tests.app.images import encoded

IMAGE = {"image": encoded()}
SHORT = {"statement_timeout": timedelta(seconds=1), "connect_timeout": timedelta(seconds=2)}
# A connection is checked for 2 s, another one attempted for 2 s; the rest is for a busy computer.
BOUND_SECONDS = 12


def freeze(servers: devstack.Servers, name: str) -> ExitStack:
    """Freezes a server until the stack is closed."""
    pid = servers.supervisor.pid(name)
    assert pid is not None
    stack = ExitStack()
    stack.enter_context(frozen(pid))
    return stack


@pytest.mark.parametrize("idle", [0.0, 1.5])
def test_with_postgres_frozen_every_endpoint_answers_in_time(
    start: Callable[..., TestClient], servers: devstack.Servers, idle: float
):
    """Whether the pooled connections were used just now or are checked first; once it goes on, so does the service."""
    client = start(database=SHORT)
    assert client.post("/attribute", files=IMAGE).status_code == 202
    time.sleep(idle)
    with freeze(servers, "postgres"):
        for method, path, expected in (
            ("POST", "/attribute", 503),
            ("GET", "/attribute", 503),
            ("GET", f"/attribute/{uuid.uuid4()}", 503),
            ("GET", "/readyz", 503),
            ("GET", "/metrics", 200),
            ("GET", "/livez", 200),
        ):
            began = time.monotonic()
            answer = client.request(method, path, files=IMAGE if method == "POST" else None)
            assert answer.status_code == expected, (path, answer.text)
            assert time.monotonic() - began < BOUND_SECONDS, path
            if expected == 503:
                assert answer.headers["content-type"] == "application/problem+json"
            if path == "/metrics":
                assert 'dependency_up{dependency="postgres"} 0.0' in answer.text
    assert client.post("/attribute", files=IMAGE).status_code == 202
    assert client.get("/readyz").status_code == 200


def test_a_statement_that_takes_too_long_is_ended_by_postgres(start: Callable[..., TestClient], database: Database):
    """A lock that is not released is a 503 as well, and the waiting statement is gone from Postgres."""
    client = start(database=SHORT)
    job = client.post("/attribute", files=IMAGE).headers["location"]
    with database.engine.begin() as holding:
        holding.exec_driver_sql("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        assert client.delete(job).status_code == 503
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert holding.exec_driver_sql(waiting).scalar_one() == 0
    assert client.delete(job).status_code == 204


def test_with_redis_frozen_jobs_are_accepted(start: Callable[..., TestClient], servers: devstack.Servers):
    """POST does not wait for a broker that is silent, and /readyz says that it is down."""
    client = start()
    with freeze(servers, "valkey"):
        began = time.monotonic()
        assert client.post("/attribute", files=IMAGE).status_code == 202
        assert client.get("/readyz").json()["checks"]["redis"] == {"status": "down"}
        assert time.monotonic() - began < BOUND_SECONDS


def test_a_full_redis_is_degraded_with_the_reason(start: Callable[..., TestClient], redis: Redis):
    """Jobs are accepted, and wait until there is room again."""
    client = start()
    assert client.get("/readyz").json()["checks"]["redis"] == {"status": "ok"}
    redis.config_set("maxmemory", 1)
    try:
        checks = client.get("/readyz").json()
        assert client.post("/attribute", files=IMAGE).status_code == 202
    finally:
        redis.config_set("maxmemory", 0)
    assert checks["status"] == "degraded"
    assert checks["checks"]["redis"]["status"] == "degraded"
    assert "maxmemory" in checks["checks"]["redis"]["reason"]
