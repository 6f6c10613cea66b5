"""What every test may stand on: a real Postgres and a real Valkey, and the rule for tests with real data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from sqlalchemy import false, update

import devstack
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, Base, Tenant
from app.settings import DatabaseSettings
from app.telemetry import tracing
from app.telemetry.metrics import HTTP_REQUESTS
from devstack.object_store import ObjectStore
from devstack.object_store import object_store as running_object_store
from devstack.state import remove
from tests.pgbouncer import PROGRAM, pgbouncer

REAL_DATA = "WHODREW_TEST_DATA"
CASES = "WHODREW_TEST_CASES"
# The markers of tests that need a folder, and the variable that names it.
FOLDERS = {"real_data": REAL_DATA, "cases": CASES}
# What tests of the chart need: a program, and the packages of the extra `deploy`.
HELM = os.environ.get("HELM") or shutil.which("helm")
CHART_PACKAGES = ("kubernetes_validate", "cloudcoil")
REPOSITORY = Path(__file__).parents[1]


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that other accounts may pass: pytest's own are closed to the one root steps down to."""
    with tempfile.TemporaryDirectory(prefix="whodrew-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory
        remove(directory)


@pytest.fixture(scope="session")
def servers() -> Iterator[devstack.Servers]:
    """Postgres and Valkey, started once per session; `DATABASE__URL` and `REDIS__URL` name them.

    They are started even if the environment names others: tests empty what they use.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE__URL", "REDIS__URL"):
            environment.delenv(name, raising=False)
        with open_directory() as directory, devstack.servers(directory) as running:
            environment.setenv("DATABASE__URL", running.database_url)
            environment.setenv("REDIS__URL", running.redis_url)
            yield running


@pytest.fixture(scope="session")
def migrated(servers: devstack.Servers) -> devstack.Servers:
    """The servers, with the schema that the migrations make."""
    alembic(servers, "upgrade", "head")
    return servers


def alembic(
    servers: devstack.Servers,
    *arguments: str,
    database_url: str | None = None,
    config: Path | str = "alembic/alembic.ini",
) -> None:
    """Runs alembic as an operator does. Raises CalledProcessError."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(config), *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"DATABASE__URL": database_url or servers.database_url, "REDIS__URL": servers.redis_url},
        check=True,
    )


def clear(database: Database) -> None:
    """Empties every table and leaves the default tenant. Deleting a handful of rows is faster than truncating."""
    with database.transaction(durable=False) as session:
        for table in reversed(Base.metadata.sorted_tables):
            kept = table.c.id == DEFAULT_TENANT if table.name == "tenants" else false()
            session.execute(table.delete().where(~kept))
        unset = {column.name: None for column in Tenant.__table__.columns if column.nullable}
        session.execute(update(Tenant).values(unset))


@pytest.fixture(scope="session")
def pooled_url(migrated: devstack.Servers) -> Iterator[str]:
    """The test's Postgres through a PgBouncer in transaction mode."""
    with open_directory() as folder, pgbouncer(migrated.database_url, folder) as url:
        yield url


@pytest.fixture
def pooled(pooled_url: str) -> dict[str, Any]:
    """The settings of the database for it; this PgBouncer may be too old for prepared statements."""
    return DatabaseSettings(url=SecretStr(pooled_url), pooler=True, prepared_statements=False).model_dump()


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """An S3-compatible object store; the environment names it."""
    with pytest.MonkeyPatch.context() as environment, running_object_store() as store:
        for name, value in store.environment().items():
            environment.setenv(name, value)
        yield store


@pytest.fixture
def blobs_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a test's blobs are: in a folder, or in a bucket where its parameter, or WHODREW_TEST_BLOBS, is s3."""
    if getattr(request, "param", os.environ.get("WHODREW_TEST_BLOBS")) != "s3":
        yield (tmp_path / "blobs").as_uri()
        return
    store: ObjectStore = request.getfixturevalue("object_store")
    yield store.create_bucket(f"test-{uuid.uuid4()}")
    store.delay, store.failing = 0.0, False
    store.requests.clear()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans of one test."""
    exporter = InMemorySpanExporter()
    tracing.record(SimpleSpanProcessor(exporter))
    yield exporter
    tracing.record(None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real images; a test that asks for it carries the marker `real_data`."""
    folder = Path(os.environ[REAL_DATA])
    next(folder.iterdir())  # unreadable or empty: fail, do not pass quietly
    return folder


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder with files from other programs; a test that asks for it carries the marker `cases`."""
    folder = Path(os.environ[CASES])
    next(folder.iterdir())
    return folder


def pytest_sessionfinish() -> None:
    """Write which operations were answered with which statuses, for `make fuzz`."""
    if file := os.environ.get("WHODREW_STATUSES"):
        counted = [sample for metric in HTTP_REQUESTS.collect() for sample in metric.samples]
        seen = {(each.labels["method"], each.labels["route"], each.labels["status"]) for each in counted if each.value}
        Path(file).write_text(json.dumps(sorted(seen)))


def chart_tools_missing() -> list[str]:
    """What tests of the chart lack here."""
    packages = [name for name in CHART_PACKAGES if find_spec(name) is None]
    return ([] if HELM else ["helm"]) + packages


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that need a folder when its place is not set, or tools that are not installed."""
    missing = [marker for marker, variable in FOLDERS.items() if not os.environ.get(variable)]
    missing += [] if PROGRAM else ["pgbouncer"]
    missing += ["chart"] if chart_tools_missing() else []
    without = [item for item in items if any(map(item.get_closest_marker, missing))]
    if without:
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=without)


def pytest_report_header() -> list[str]:
    """Say that some are left out, so that nothing is missing silently."""
    missing = [variable for variable in FOLDERS.values() if not os.environ.get(variable)]
    lines = [f"{variable} is not set: the tests that need it are left out" for variable in missing]
    tools = chart_tools_missing()
    lines += [f"{', '.join(tools)} not found: the tests of the chart are left out"] if tools else []
    return lines + ([] if PROGRAM else ["pgbouncer is not installed: the tests that need it are left out"])
