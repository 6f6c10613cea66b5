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
    environment = {"DATABASE__URL": "postgresql://user@localhost/none", "REDIS__URL": redis_url}
    command = [sys.executable, "-m", "docker.worker_health"]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_it_knows_every_role():
    """The roles that the check asks for are those that workers can have."""
    assert set(ROLES) == set(Role)


def test_a_worker_with_a_heartbeat_is_healthy(redis, servers):
    """The check reads what a worker's heartbeat records."""
    Heartbeats(redis).beat("embed", f"{socket.gethostname()}:123")
    found = check(servers.redis_url)
    assert (found.returncode, found.stdout) == (0, "warm: embed\n")


def test_a_silent_worker_is_unhealthy(redis, servers):
    """Neither another host's heartbeat nor an old one counts."""
    redis.zadd(
        "workers:embed", {"elsewhere:1": time.time(), f"{socket.gethostname()}:1": time.time() - FRESH_SECONDS - 1}
    )
    assert check(servers.redis_url).returncode == 1


def test_without_redis_the_check_passes():
    """A restart would not fix Redis."""
    found = check("redis://127.0.0.1:1/0")
    assert found.returncode == 0
    assert "Redis does not respond" in found.stdout
