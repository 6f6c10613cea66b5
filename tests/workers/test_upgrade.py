"""A rolling upgrade: jobs that the previous version accepted, under its schema, are finished by this one.

The migration runs first, while the previous version goes on; what that writes then must still be taken.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from PIL import Image
from psycopg import sql

import devstack
from app.db.migrations import current
from app.db.models import DEFAULT_TENANT, JobStatus
from attribution.image import encode_png
from tests.conftest import alembic
from tests.workers.harness import Bench
from workers.process import Process

PREVIOUS = "0001"
NAME = "upgrade"


@pytest.fixture
def url(servers: devstack.Servers) -> Iterator[str]:
    """A database of its own, as the previous version left it."""
    url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{NAME}"))
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        alembic(servers, "upgrade", PREVIOUS, database_url=url)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


def accept_as_before(process: Process, url: str, **columns: Any) -> uuid.UUID:
    """Inserts a job over the sources a and b in the words of the previous version: columns it did not know are left."""
    stored = process.storage.blobs.put(
        DEFAULT_TENANT, encode_png(Image.new("RGB", (64, 48), (200, 40, 40))), "image/png"
    )
    image = {"format": "PNG", "width": 64, "height": 48, "frames": 1, "sha256": stored.sha256, "size": stored.size}
    given = {
        "tenant_id": DEFAULT_TENANT,
        "image": json.dumps(image),
        "query_blob": stored.sha256,
        "images_per_source": 1,
    }
    given |= columns
    with psycopg.connect(url) as connection:
        row = connection.execute(
            sql.SQL("INSERT INTO jobs ({}, deadline_at) VALUES ({}, now() + interval '10 min') RETURNING id").format(
                sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
            ),
            given,
        ).fetchone()
        assert row is not None
        for position, source in enumerate("ab"):
            connection.execute(
                "INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision,"
                " queue, timeout_seconds) VALUES (%s, %s, %s, %s, 'fake', 'elsewhere', 'fake', '1', 'remote', 20)",
                (row[0], DEFAULT_TENANT, position, source),
            )
        connection.execute(
            "INSERT INTO blobs (tenant_id, sha256, size, media_type) VALUES (%s, %s, %s, 'image/png')"
            " ON CONFLICT DO NOTHING",
            (DEFAULT_TENANT, stored.sha256, stored.size),
        )
        connection.execute(
            "INSERT INTO blob_references (job_id, role, tenant_id, sha256) VALUES (%s, 'query', %s, %s)",
            (row[0], DEFAULT_TENANT, stored.sha256),
        )
    found: uuid.UUID = row[0]
    return found


def finish(here: Bench) -> None:
    """Requeues stale steps and runs them, until nothing is left."""
    for _ in range(6):
        here.pass_time(60)
        here.sweep()
        here.run()


def results(url: str) -> dict[uuid.UUID, Any]:
    """What the ended jobs were answered."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT id, result FROM jobs WHERE status = 'succeeded'").fetchall())


def test_jobs_survive_the_migration(url: str, bench: Callable[..., Bench], servers: devstack.Servers) -> None:
    """Queued, half worked on and ended ones, and one that the old version accepts while the schema is ahead of it."""
    here = bench({"a": "", "b": ""}, database={"url": url})
    queued = accept_as_before(here.process, url)
    half = accept_as_before(
        here.process, url, status="processing", stage="resynthesizing", caption="a red thing", captioner="fake@1"
    )
    with psycopg.connect(url) as connection:  # its worker has gone meanwhile
        connection.execute(
            "UPDATE job_sources SET state = 'running', attempt = 1, lease_until = now() - interval '1 min',"
            " timeout_at = now() + interval '10 min' WHERE job_id = %s AND source = 'a'",
            (half,),
        )
    alembic(servers, "upgrade", "head", database_url=url)
    late = accept_as_before(here.process, url)
    finish(here)
    assert {here.job(job_id).status for job_id in (queued, half, late)} == {JobStatus.SUCCEEDED}
    assert here.document(half).result.caption == "a red thing"
    assert here.sources(half)["a"].attempt == 2


def test_ended_jobs_survive_the_way_back(url: str, bench: Callable[..., Bench], servers: devstack.Servers) -> None:
    """Down to the previous schema and up again: what was answered is still there, to the letter."""
    alembic(servers, "upgrade", "head", database_url=url)
    here = bench({"a": "", "b": ""}, database={"url": url})
    job_id = here.submit()
    here.run()
    answered = results(url)
    assert list(answered) == [job_id]
    here.process.storage.database.close()
    alembic(servers, "downgrade", PREVIOUS, database_url=url)
    assert results(url) == answered
    alembic(servers, "upgrade", "head", database_url=url)
    assert results(url) == answered
    with here.process.storage.database.transaction() as session:
        assert (current(session) or "") > PREVIOUS
