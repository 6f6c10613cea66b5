"""docker/worker_health.py, beside the code that it watches and a real Valkey."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from app.queue.heartbeats import FRESH_SECONDS, Heartbeats
from app.queue.steps import Role
from docker.worker_health import ROLES

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def redis(servers):
    """A client of the session's Valkey, whose heartbeats are empty."""
    client = Redis.from_url(servers.redis_url)
    client.delete("workers:embed")
    yield client
    client.delete("workers:embed")
    client.close()


def check(redis_url):
    """The check as the container runs it."""
    environment = {"DATABASE__URL": "postgresql://nobody@localhost/none", "REDIS__URL": redis_url}
    command = [sys.executable, "-m", "docker.worker_health"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_it_knows_every_role():
    """The roles that the check asks for are those that workers can have."""
    assert set(ROLES) == set(Role)


def test_a_worker_that_beats_is_healthy(redis, servers):
    """What a worker's heartbeat writes is what the check looks for."""
    Heartbeats(redis).beat("embed", f"{socket.gethostname()}:123")
    found = check(servers.redis_url)
    assert (found.returncode, found.stdout) == (0, "warm: embed\n")


def test_a_silent_worker_is_not(redis, servers):
    """Neither somebody else's heartbeat nor an old one counts."""
    redis.zadd(
        "workers:embed", {"elsewhere:1": time.time(), f"{socket.gethostname()}:1": time.time() - FRESH_SECONDS - 1}
    )
    assert check(servers.redis_url).returncode == 1


def test_nothing_is_held_against_a_worker_while_redis_is_away():
    """A restart would not mend Redis, so the check passes."""
    found = check("redis://127.0.0.1:1/0")
    assert found.returncode == 0
    assert "Redis does not answer" in found.stdout
