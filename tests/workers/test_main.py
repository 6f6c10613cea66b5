"""The worker's command: with a configuration that cannot work it does not start, and says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import devstack
from app.queue.broker import Broker, make_celery
from app.queue.steps import Role
from app.settings import Settings
from workers.process import build_process
from workers.roles import pool_of, queues_of


def run(servers: devstack.Servers, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m workers …` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        env=os.environ | {"DATABASE__URL": servers.database_url, "REDIS__URL": servers.redis_url} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_worker_that_cannot_load_its_models_does_not_start(servers: devstack.Servers, tmp_path: Path) -> None:
    """A captioner that cannot be loaded ends the process, so that it is never counted as warm."""
    ended = run(servers, "caption", MODELS__CAPTIONER=f"blip:{tmp_path}/nowhere")
    assert ended.returncode != 0
    assert "nowhere" in ended.stderr


def test_roles_of_different_pools_cannot_share_a_process(servers: devstack.Servers) -> None:
    """Asking for threads and for one task at a time in one process is refused with a sentence."""
    ended = run(servers, "light", "caption")
    assert ended.returncode == 2
    assert "different pools" in ended.stderr


def test_a_part_of_the_catalog_is_for_local_workers_alone(servers: devstack.Servers) -> None:
    """A worker that ranks or calls vendors with a part of the catalog would lack sources, so it does not start."""
    ended = run(servers, "remote", MODELS__SOURCES='["zoo-dit"]')
    assert ended.returncode == 2
    assert "MODELS__SOURCES" in ended.stderr


def test_a_worker_consumes_the_queues_of_its_sources() -> None:
    """A local worker with MODELS__SOURCES has these sources' queues and loads no other source."""
    settings = Settings(
        database={"url": "postgresql://user@localhost/none"},
        redis={"url": "redis://localhost/0"},
        models={"sources": ["zoo-dit"]},
    )
    process = build_process(settings, Broker(make_celery(settings)))
    assert queues_of([Role.LOCAL], process.models.catalog.sources, settings.screening) == ["local.zoo-dit"]
    assert [source.id for source in process.models.local_sources()] == ["zoo-dit"]
    process.decoders.close()


@pytest.mark.parametrize("role", list(Role))
def test_every_role_has_a_pool(role: Role) -> None:
    """Every role has a pool."""
    assert pool_of([role]).concurrency >= 1
