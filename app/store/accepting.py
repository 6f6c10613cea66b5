"""Accepting a job: its row, those of its sources, the bytes it uses and its tenant's share, all in one statement.

Every POST runs it. As five statements it took a third of what the API computes for a small image.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.store import admission, blobs
from app.store.blobs import StoredBlob
from app.store.jobs import JSON_COLUMNS
from app.store.models import Job, JobSource, JobStatus, Stage
from app.webhook import deliveries
from attribution.ports import SourceState


@dataclass(frozen=True, slots=True)
class NewSource:
    """What a source is when the job is accepted; later changes of the catalogue do not reach the job."""

    source: str
    family: str
    platform: str
    model: str
    revision: str
    queue: str
    timeout: timedelta
    state: SourceState = SourceState.PENDING
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class NewJob:
    """An image that passed intake, or is yet to be fetched, and what is asked about it."""

    tenant_id: uuid.UUID
    image: dict[str, Any] | None
    candidates: int
    sources: Sequence[NewSource]
    deadline: timedelta
    prompt: str | None = None
    seed: int | None = None
    image_url: str | None = None
    external_id: str | None = None
    labels: dict[str, Any] | None = None
    cancel_after: timedelta | None = None
    webhook_url: str | None = None
    webhook_events: Sequence[str] | None = None
    stage: Stage = Stage.SCREENING
    id: uuid.UUID | None = None  # Postgres makes one, ordered by time


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job and its sources as a caller would be shown them, and the bytes to be put again after the commit."""

    job: Job
    sources: Sequence[JobSource]
    lost: Sequence[StoredBlob]
    share: admission.Share  # of the tenant, this job not counted


def accept(
    session: Session, new: NewJob, uses: Mapping[str, StoredBlob] | None = None, concurrent_jobs: int = 10**9
) -> Accepted:
    """Inserts the job; `uses` are its blobs by role, see `blobs.refer`. The commit will wait for the disk.

    `concurrent_jobs` is what a tenant may have open that has no limit of its own.
    """
    used = blobs.in_order(uses or {})
    given = {
        field: json.dumps(value) if field in JSON_COLUMNS and value is not None else value
        for field, value in ((name, getattr(new, name)) for name in _GIVEN)
    }
    rows = [
        asdict(source) | {"position": position, "timeout": source.timeout.total_seconds()}
        for position, source in enumerate(new.sources)
    ]
    given |= {"rows": json.dumps(rows), "records": blobs.records(used), "concurrent_jobs": concurrent_jobs}
    made = session.execute(_ACCEPT, given).one()
    job = Job(
        **{column: getattr(new, column) for column in _AS_GIVEN},
        id=made.id,
        status=JobStatus.QUEUED,
        created_at=made.created_at,
        deadline_at=made.deadline_at,
        timings={},
    )
    gone = set(made.gone or ())
    return Accepted(
        job=job,
        sources=[_row(job, position, source) for position, source in enumerate(new.sources)],
        lost=[blob for _, blob in used if blob.sha256 in gone],
        share=admission.Share(made.allowed, made.open_jobs),
    )


_GIVEN = tuple(each.name for each in fields(NewJob) if each.name != "sources")
# Rows are made of what was inserted: reading ten of them back cost more than inserting them.
_AS_GIVEN = ("tenant_id", "stage", "candidates", "prompt", "seed", "image_url", "image", "external_id", "labels")
_TOLD = ("source", "family", "platform", "model", "revision", "queue", "state", "reason")


def _row(job: Job, position: int, source: NewSource) -> JobSource:
    return JobSource(
        job_id=job.id,
        tenant_id=job.tenant_id,
        position=position,
        timeout_seconds=source.timeout.total_seconds(),
        drawings=[],
        **{name: getattr(source, name) for name in _TOLD},
    )


_ACCEPT = text(
    f"""
    WITH durable AS (
        SELECT set_config('synchronous_commit', 'on', true)
    ), job AS (
        INSERT INTO jobs (id, tenant_id, stage, candidates, prompt, seed, image_url, image, external_id, metadata,
                          webhook_url, webhook_events, notify, deadline_at, cancel_at)
        VALUES (coalesce(CAST(:id AS uuid), uuidv7()), :tenant_id, :stage, :candidates, :prompt, :seed,
                :image_url, CAST(:image AS jsonb), :external_id, CAST(:labels AS jsonb),
                :webhook_url, CAST(:webhook_events AS jsonb),
                CAST(:webhook_url AS text) IS NOT NULL OR {deliveries.WANTED},
                now() + :deadline, now() + CAST(:cancel_after AS interval))
        RETURNING id, created_at, deadline_at
    ), sources AS (
        INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision, queue,
                                 timeout_seconds, state, reason)
        SELECT job.id, CAST(:tenant_id AS uuid), position, source, family, platform, model, revision, queue, timeout,
               state, reason
        FROM job, jsonb_to_recordset(CAST(:rows AS jsonb)) AS new (
            position smallint, source text, family text, platform text, model text, revision text, queue text,
            timeout float, state text, reason text)
    ), {blobs.referring("(SELECT id FROM job)")}
    SELECT job.*, share.*, (SELECT array_agg(sha256) FROM stored WHERE gone_at IS NOT NULL) AS gone
    FROM job, durable, ({admission.SHARE}) AS share
    """  # noqa: S608 - our own words
)
