"""Worker processes over real Postgres, Valkey and blobs, with fake models."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

import devstack
from app.settings import IntakeSettings, Settings
from tests.conftest import clear
from tests.workers.harness import Bench, HeldBroker
from workers import startup
from workers.decoder_processes import DecoderProcesses
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


@pytest.fixture
def fresh_startup_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new logger for `workers.startup`: a used one keeps the processors of its time, and `capture_logs` misses it."""
    monkeypatch.setattr(startup, "log", structlog.get_logger())


@pytest.fixture(scope="session")
def decoders() -> Iterator[DecoderProcesses]:
    """The decoder processes of all benches: starting one takes longer than most tests."""
    shared = DecoderProcesses(IntakeSettings())
    yield shared
    shared.close()


@pytest.fixture
def bench(
    migrated: devstack.Servers, tmp_path: Path, blobs_url: str, decoders: DecoderProcesses
) -> Iterator[Callable[..., Bench]]:
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
        own: dict[str, Any] = {
            "database": {"url": migrated.database_url},
            "redis": {"url": migrated.redis_url},
            "blobs": {"url": blobs_url},
            "catalog": {"directories": [catalog]},
            "models": {"captioner": "fake:", "embedder": "fake:", "calibrations": []},
        }
        settings = Settings(**own | groups)
        broker = HeldBroker()
        process = build_process(settings, broker)
        process = replace(process, decoders=decoders)
        made.append(process)
        return Bench(process, broker)

    yield make
    for process in made:
        process.fetcher.close()
        process.vendors.close()
        clear(process.storage.database)
        process.storage.database.close()
        process.storage.redis.close()
