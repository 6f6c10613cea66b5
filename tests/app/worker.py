"""Plays the workers: puts jobs into Postgres and moves them along, without a queue and without a model."""

import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.db.database import Database
from app.db.models import DEFAULT_TENANT, Job
from app.db.types import MethodOptions
from app.documents import job_document
from app.jobs import acceptance, repository, source_repository
from app.jobs.acceptance import NewJob, NewSource
from app.jobs.snapshots import Snapshots
from app.vendors.budget import sum_by_source
from attribution.ports import Aggregate, DistanceName

SOURCES = ("ant", "bee", "cat")
RESULT: dict[str, Any] = {
    "schema_version": 1,
    "caption": "a goat",
    "captioner": "given",
    "embedder": None,
    "distance": "cosine",
    "images_per_source": 1,
    "quorum": 2,
    "temperature": 1.0,
    "calibrated": False,
    "ranking": [],
    "margin": None,
    "verdict": {"kind": "inconclusive", "source": None, "reason": "no_quorum", "threshold": None},
}

OPTIONS = MethodOptions(DistanceName.COSINE, Aggregate.MEAN)


def accept(database: Database, tenant_id: uuid.UUID = DEFAULT_TENANT, **options: Any) -> uuid.UUID:
    """Commits a job as acceptance does; returns its id."""
    sources = [
        NewSource(
            source=name, family="fake", platform="local", model="fake", revision="1", queue=name, timeout=timedelta(1)
        )
        for name in SOURCES
    ]
    given = {"method_options": OPTIONS, "image": None, "images_per_source": 1, "deadline": timedelta(hours=1)} | options
    with database.transaction(durable=False) as session:
        return acceptance.accept(session, NewJob(tenant_id=tenant_id, sources=sources, **given)).job.id


def move(database: Database, job_id: uuid.UUID, stage: str | None, **states: str) -> None:
    """Lets a job be in a stage, having left the one before, and its sources in these states."""
    with database.transaction(durable=False) as session:
        session.execute(
            text(
                "UPDATE jobs SET status = 'processing', timings = timings || jsonb_build_object(stage, 1.0), "
                "stage = :stage WHERE id = :id AND stage <> :stage"
            ),
            {"id": job_id, "stage": stage},
        )
        for source, state in states.items():
            session.execute(
                text("UPDATE job_sources SET state = :state WHERE job_id = :id AND source = :source"),
                {"id": job_id, "source": source, "state": state},
            )


def end(
    database: Database,
    snapshots: Snapshots | None,
    job_id: uuid.UUID,
    status: str = "succeeded",
    values: Mapping[str, Any] | None = None,
) -> None:
    """Ends a job and, unless snapshots are unavailable, says so as a worker does."""
    with database.transaction(durable=False) as session:
        job = session.get_one(Job, job_id)
        session.execute(
            text(
                f"UPDATE jobs SET {repository.set_clause(repository.ENDING)}, status = :status, "
                "result = CASE WHEN :status = 'succeeded' THEN CAST(:result AS jsonb) END WHERE id = :id"
            ),
            {"id": job_id, "status": status, "result": json.dumps(RESULT | dict(values or {}))},
        )
        session.refresh(job)
        document = job_document(job, source_repository.list_for_job(session, job_id), sum_by_source(session, job))
    if snapshots is not None:
        snapshots.store_ended(job.tenant_id, document)
