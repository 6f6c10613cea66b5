"""A rolling upgrade: this version finishes its jobs under the schema of the next one, and after the way back.

The migration runs first, while this version goes on. The next version does not exist yet, so a migration of the kind
that a release may contain (a nullable column, one with a default, an index) stands for it.
"""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

import devstack
from app.db.database import SCHEMA_HEAD, schema_revision
from app.db.models import JobStatus
from app.queue.steps import RESYNTHESIZE_TASK
from tests.conftest import REPOSITORY, alembic
from tests.workers.harness import Bench

NEXT = "9999"
NAME = "upgrade"
MIGRATION = f'''
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{NEXT}", "{SCHEMA_HEAD}", None, None


def upgrade():
    op.add_column("jobs", sa.Column("note", sa.Text(), nullable=True))
    op.add_column("job_sources", sa.Column("weight", sa.Integer(), server_default="1", nullable=False))
    op.create_index("ix_jobs_note", "jobs", ["note"])


def downgrade():
    op.drop_index("ix_jobs_note")
    op.drop_column("job_sources", "weight")
    op.drop_column("jobs", "note")
'''
CONFIG = """
[alembic]
script_location = {repository}/alembic
version_locations = {repository}/alembic/versions:{next}
path_separator = :
prepend_sys_path = {repository}
"""


@pytest.fixture
def url(servers: devstack.Servers) -> Iterator[str]:
    """A database of its own, as this version's migrations leave it."""
    url = urlunsplit(urlsplit(servers.database_url)._replace(path=f"/{NAME}"))
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        alembic(servers, "upgrade", "head", database_url=url)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


@pytest.fixture
def migrate(servers: devstack.Servers, url: str, tmp_path: Path) -> Callable[..., None]:
    """Runs alembic with the next version's migration beside this version's."""
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / f"{NEXT}_next.py").write_text(MIGRATION)
    config = tmp_path / "alembic.ini"
    config.write_text(CONFIG.format(repository=REPOSITORY, next=versions))
    return lambda *arguments: alembic(servers, *arguments, database_url=url, config=config)


def finish(here: Bench) -> None:
    """Requeues and runs every step that stands still, until nothing is left."""
    for _ in range(6):
        here.pass_time(60)
        here.sweep()
        here.run()


def results(url: str) -> dict[uuid.UUID, Any]:
    """What the ended jobs were answered."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT id, result FROM jobs WHERE status = 'succeeded'").fetchall())


def test_jobs_survive_the_migration(url: str, migrate: Callable[..., None], bench: Callable[..., Bench]) -> None:
    """Jobs that were queued or half done before the migration, and one accepted after it, all succeed."""
    here = bench({"a": "", "b": ""}, database={"url": url})
    half = here.submit()
    here.run(until=lambda step: step.task == RESYNTHESIZE_TASK)
    with psycopg.connect(url) as connection:  # a worker that died with its claim, and its message with it
        connection.execute(
            "UPDATE job_sources SET state = 'running', attempt = 1, lease_until = now() - interval '1 min',"
            " timeout_at = now() + interval '10 min' WHERE job_id = %s AND source = 'a'",
            (half,),
        )
    here.broker.steps.clear()
    queued = here.submit()
    migrate("upgrade", "head")
    late = here.submit()
    finish(here)
    assert {here.job(job_id).status for job_id in (queued, half, late)} == {JobStatus.SUCCEEDED}
    assert here.sources(half)["a"].attempt == 2
    with here.process.storage.database.transaction() as session:
        assert (schema_revision(session) or "") > SCHEMA_HEAD


def test_results_survive_the_way_back(url: str, migrate: Callable[..., None], bench: Callable[..., Bench]) -> None:
    """After a downgrade and a second upgrade every result is still the same."""
    migrate("upgrade", "head")
    here = bench({"a": "", "b": ""}, database={"url": url})
    job_id = here.submit()
    here.run()
    before = results(url)
    assert list(before) == [job_id]
    here.process.storage.database.close()
    migrate("downgrade", SCHEMA_HEAD)
    assert results(url) == before
    migrate("upgrade", "head")
    assert results(url) == before
