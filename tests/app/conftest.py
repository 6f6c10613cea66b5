"""The API over real Postgres, Valkey and blobs, with a catalog of fake sources; tables are emptied after a test."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

import devstack
from app.access import key_repository
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.api import create_app
from app.db.database import Database, connect
from app.db.models import DEFAULT_TENANT
from app.settings import Settings
from tests.conftest import clear
from tests.waiting import wait_until

SOURCE = """
schema = 1
id = "{id}"
name = "Source {id}"
enabled = {enabled}
family = "fake"
platform = "local"
model = "fake"
revision = "1"
license = "none"
memory_mb = 1
adapter = "fake"
[lifecycle]
{lifecycle}
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A catalog: three live sources, one disabled, one retired, one that no program can call."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name, enabled, lifecycle in (
        ("ant", "true", 'state = "live"'),
        ("bee", "true", 'state = "live"'),
        ("cat", "true", 'state = "live"'),
        ("dog", "false", 'state = "live"'),
        ("elk", "true", 'state = "retired"\nsince = 2024-01-01\nnote = "Elk was switched off."'),
        ("fox", "true", 'state = "no_api"'),
    ):
        (folder / f"{name}.toml").write_text(SOURCE.format(id=name, enabled=enabled, lifecycle=lifecycle))
    return folder


@pytest.fixture
def settings(migrated: devstack.Servers, sources: Path, blobs_url: str) -> Settings:
    """The settings of one test's API."""
    return Settings(
        database={"url": migrated.database_url},
        redis={"url": migrated.redis_url},
        blobs={"url": blobs_url},
        catalog={"directories": [sources]},
        metrics={"open": True},
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The door to the test's Postgres; what the test committed is emptied afterwards."""
    opened = Database(connect(settings.database))
    yield opened
    clear(opened)
    opened.close()


@pytest.fixture
def redis(migrated: devstack.Servers) -> Iterator[Redis]:
    """The test's Valkey, empty before and after."""
    client = Redis.from_url(migrated.redis_url)
    client.flushall()
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def messages(redis: Redis) -> Callable[[str], list[Any]]:
    """What lies in a queue, once something does: messages are sent while the answer is on its way."""

    def of(queue: str) -> list[Any]:
        return [json.loads(each) for each in wait_until(lambda: redis.lrange(queue, 0, -1), 10)]

    return of


@pytest.fixture
def key(database: Database) -> str:
    """A key of the default tenant, good for everything."""
    new = make_key()
    with database.transaction() as session:
        key_repository.insert(session, DEFAULT_TENANT, new, "test", Scope, None, None)
    return new.text


@pytest.fixture
def start(settings: Settings, key: str, redis: Redis) -> Iterator[Callable[..., TestClient]]:
    """Starts an API on the test's settings, changed group by group: `start(intake={"max_bytes": 10})`.

    The client sends the key with every request.
    """
    with ExitStack() as running:

        def make(**groups: dict[str, Any]) -> TestClient:
            changed = {name: getattr(settings, name).model_copy(update=values) for name, values in groups.items()}
            app = create_app(settings.model_copy(update=changed))
            headers = {"Authorization": f"Bearer {key}"}
            return running.enter_context(TestClient(app, raise_server_exceptions=False, headers=headers))

        yield make


@pytest.fixture
def client(start: Callable[..., TestClient]) -> TestClient:
    """A client of the running API."""
    return start()
