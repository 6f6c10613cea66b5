"""The repository of jobs: accepting, reading, claiming a stage, and moving on from it.

A stage is claimed by a conditional update and left by another one that is fenced by the claim's attempt: whoever
comes late, or twice, changes nothing.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, Text, and_, cast, func, insert, or_, select, update
from sqlalchemy.orm import Session

from app.errors import ServiceError
from app.store.models import Job, JobSource, JobStatus, Stage
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
    """An image that passed intake, and what is asked about it."""

    tenant_id: uuid.UUID
    image: dict[str, Any]
    query_blob: str
    candidates: int
    sources: Sequence[NewSource]
    deadline: timedelta
    prompt: str | None = None
    seed: int | None = None
    id: uuid.UUID | None = None  # Postgres makes one, ordered by time


def accept(session: Session, new: NewJob) -> tuple[Job, Sequence[JobSource]]:
    """Inserts the job and a row per source; returns them as stored."""
    given = {} if new.id is None else {"id": new.id}
    job = session.scalars(
        insert(Job)
        .values(
            tenant_id=new.tenant_id,
            image=new.image,
            query_blob=new.query_blob,
            candidates=new.candidates,
            prompt=new.prompt,
            seed=new.seed,
            deadline_at=func.now() + new.deadline,
            **given,
        )
        .returning(Job)
    ).one()
    rows = [
        {
            "job_id": job.id,
            "tenant_id": new.tenant_id,
            "position": position,
            "source": source.source,
            "family": source.family,
            "platform": source.platform,
            "model": source.model,
            "revision": source.revision,
            "queue": source.queue,
            "timeout_seconds": source.timeout.total_seconds(),
            "state": source.state,
            "reason": source.reason,
        }
        for position, source in enumerate(new.sources)
    ]
    statement = insert(JobSource).returning(JobSource, sort_by_parameter_order=True)
    return job, session.scalars(statement, rows).all()


def find(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """The job, if it is this tenant's."""
    return session.scalars(select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id)).one_or_none()


def sources_of(session: Session, job_id: uuid.UUID) -> Sequence[JobSource]:
    """The job's sources in catalogue order."""
    return session.scalars(select(JobSource).where(JobSource.job_id == job_id).order_by(JobSource.position)).all()


def unheld(step: type[Job] | type[JobSource]) -> ColumnElement[bool]:
    """Nobody holds a lease on the step, or its holder went silent."""
    return or_(step.lease_until.is_(None), step.lease_until < func.now())


def claim(session: Session, job_id: uuid.UUID, stage: Stage, lease: timedelta, attempts: int) -> Job | None:
    """Takes the stage for this worker; None when it is done, held by another or used up its attempts."""
    return session.scalars(
        update(Job)
        .where(
            Job.id == job_id,
            Job.stage == stage,
            Job.status.in_((JobStatus.QUEUED, JobStatus.PROCESSING)),
            Job.attempt < attempts,
            unheld(Job),
        )
        .values(
            status=JobStatus.PROCESSING,
            attempt=Job.attempt + 1,
            lease_until=func.now() + lease,
            started_at=func.coalesce(Job.started_at, func.clock_timestamp()),
        )
        .returning(Job)
        .execution_options(populate_existing=True)
    ).one_or_none()


def held(job: Job) -> ColumnElement[bool]:
    """The fence: the row is still at the stage and attempt that this claim took."""
    return and_(
        Job.id == job.id,
        Job.status == JobStatus.PROCESSING,
        Job.stage == job.stage,
        Job.attempt == job.attempt,
    )


def leaving() -> dict[str, Any]:
    """The values of every update that ends a stage: its duration is noted, its claim is over."""
    seconds = cast(func.extract("epoch", func.clock_timestamp() - Job.stage_since), Float)
    return {
        "timings": Job.timings.concat(func.jsonb_build_object(cast(Job.stage, Text), seconds)),
        "stage_since": func.clock_timestamp(),
        "lease_until": None,
        "attempt": 0,
        "hand_ons": 0,
        "handed_on_at": func.clock_timestamp(),
    }


def advance(session: Session, job: Job, to: Stage, **values: Any) -> bool:
    """Moves a claimed job to its next stage; False when the claim was fenced off."""
    return _changed(session, held(job), leaving() | {"stage": to} | values)


def succeed(session: Session, job: Job, result: dict[str, Any]) -> Job | None:
    """Ends a claimed job with its answer, and returns it; None when the claim was fenced off."""
    values = ending(JobStatus.SUCCEEDED) | {"result": result}
    return session.scalars(update(Job).where(held(job)).values(values).returning(Job)).one_or_none()


def fail(session: Session, job: Job, error: ServiceError) -> bool:
    """Ends a claimed job without an answer; False when the claim was fenced off."""
    return _changed(session, held(job), ending(JobStatus.FAILED) | {"error": error.document()})


def ending(status: JobStatus) -> dict[str, Any]:
    """The values of every update that ends a job."""
    return leaving() | {"status": status, "stage": None, "completed_at": func.clock_timestamp()}


def release(session: Session, job: Job) -> bool:
    """Gives a claim back after an error that may pass; the sweep hands the stage on again."""
    return _changed(session, held(job), {"lease_until": None, "handed_on_at": func.clock_timestamp()})


def _changed(session: Session, which: ColumnElement[bool], values: dict[str, Any]) -> bool:
    return session.scalar(update(Job).where(which).values(values).returning(Job.id)) is not None
