"""Worker processes over real Postgres, Valkey and blobs, with fake models."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import devstack
from app.settings import IntakeSettings, Settings
from tests.conftest import clear
from tests.workers.harness import Bench, HeldBroker
from workers.children import Children
from workers.process import Process, build_process

SOURCE = """
schema = 1
id = "{id}"
name = "{id}"
enabled = {enabled}
family = "fake"
platform = "{platform}"
model = "fake"
revision = "1"
license = "none"
memory_mb = 1
adapter = "fake"
{header}
[parameters]
{parameters}
[limits]
timeout_seconds = 20
{limits}
"""


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    """The decoding children of all benches: starting one takes longer than most tests."""
    shared = Children(IntakeSettings())
    yield shared
    shared.close()


@pytest.fixture
def bench(migrated: devstack.Servers, tmp_path: Path, children: Children) -> Iterator[Callable[..., Bench]]:
    """Makes a worker process over fake sources: `bench({"a": "", "b": 'fail = "error"'}, job={"attempts": 2})`."""
    made: list[Process] = []

    def make(
        sources: dict[str, str],
        platform: str = "elsewhere",
        disabled: Collection[str] = (),
        header: str = "",
        limits: str = "",
        **groups: Any,
    ) -> Bench:
        catalog = tmp_path / "sources"
        catalog.mkdir(exist_ok=True)
        for name, parameters in sources.items():
            enabled = str(name not in disabled).lower()
            text = SOURCE.format(
                id=name, parameters=parameters, platform=platform, enabled=enabled, header=header, limits=limits
            )
            (catalog / f"{name}.toml").write_text(text)
        settings = Settings(
            **{
                "database": {"url": migrated.database_url},
                "redis": {"url": migrated.redis_url},
                "blobs": {"url": (tmp_path / "blobs").as_uri()},
                "catalog": {"directories": [catalog]},
                "models": {"captioner": "fake:", "embedder": "fake:", "calibrations": []},
            }
            | groups
        )
        broker = HeldBroker()
        process = replace(build_process(settings, broker), children=children)
        made.append(process)
        return Bench(process, broker)

    yield make
    for process in made:
        process.fetcher.close()
        process.asking.close()
        process.waiting.close()
        process.outside.close()
        clear(process.database)
        process.database.close()
        process.redis.close()
