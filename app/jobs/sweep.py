"""The repository's sweep: finds what stands still, whatever died, and says what to enqueue again.

Each function works on a bounded number of rows and skips those another sweep has locked, so that sweeps may overlap.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from app.db.models import WAITING, Job, JobSource, JobStatus, Stage
from app.errors import DeadlineExceeded, ServiceError, StepCrashed
from app.jobs import source_repository
from app.jobs.repository import ENDING, unleased
from app.webhooks import deliveries
from attribution.ports import Origin, SourceState

BATCH = 500
OPEN_STATUSES = (JobStatus.QUEUED, JobStatus.PROCESSING)
# A job that reached its deadline with generated images at hand may still embed and rank them.
RANKING_GRACE = timedelta(minutes=1)
# And generated images that were brought in time may still be screened.
SCREENING_GRACE = timedelta(seconds=20)
# How long a source's own process has for noticing that there is room.
WAIT_GRACE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class MovedJob:
    """A job that the sweep moved: to a stage that must be enqueued, or (None) to its end."""

    tenant_id: uuid.UUID
    job_id: uuid.UUID
    stage: Stage | None


def is_stale(step: type[Job] | type[JobSource], patience: timedelta) -> ColumnElement[bool]:
    """Unheld, and enqueued longer ago than the patience, which doubles each time up to 64-fold."""
    return and_(
        unleased(step),
        step.requeued_at + patience * func.power(2, func.least(step.requeues, 6)) < func.now(),
    )


def list_jobs_with_overdue_sources(session: Session) -> Sequence[uuid.UUID]:
    """Jobs being resynthesized with a source that must be ended: past its timeout, or past the job's deadline."""
    return session.scalars(
        select(Job.id)
        .where(
            Job.status == JobStatus.PROCESSING,
            Job.stage == Stage.RESYNTHESIZING,
            or_(
                Job.deadline_at < func.now(),
                select(JobSource.job_id)
                .where(
                    JobSource.job_id == Job.id,
                    JobSource.state == SourceState.RUNNING,
                    JobSource.timeout_at < func.now(),
                )
                .exists(),
            ),
        )
        .limit(BATCH)
    ).all()


def end_overdue_sources(session: Session, job_id: uuid.UUID) -> Stage | None:
    """Ends a job's overdue sources as `timeout`; returns the stage the job entered if none is open any more."""
    notify = source_repository.lock_job(session, job_id)
    if notify is None:
        return None
    late, very_late = session.execute(
        select(Job.deadline_at < func.now(), Job.deadline_at + SCREENING_GRACE < func.now()).where(Job.id == job_id)
    ).one()
    which: ColumnElement[bool]
    if late:
        awaited = JobSource.state == SourceState.AWAITING_REFERENCE
        nothing = "Nobody reference images of this source before the job's deadline."
        _end_sources(session, job_id, awaited, SourceState.TIMEOUT, nothing, notify)
        which = JobSource.state.in_(source_repository.OPEN_STATES)
        if not very_late:
            which = and_(which, JobSource.origin == Origin.GENERATOR)
        reason = "The job's deadline passed before this source had generated."
    else:
        which = and_(JobSource.state == SourceState.RUNNING, JobSource.timeout_at < func.now())
        reason = "The source did not finish within its time limit."
    _end_sources(session, job_id, which, SourceState.TIMEOUT, reason, notify)
    return source_repository.advance_when_all_ended(session, job_id)


def list_crashed_sources(session: Session, attempts: int) -> Sequence[tuple[uuid.UUID, str]]:
    """Sources whose last permitted attempt went silent."""
    return [
        (job_id, source)
        for job_id, source in session.execute(
            select(JobSource.job_id, JobSource.source)
            .where(
                JobSource.state.in_(source_repository.OPEN_STATES), JobSource.attempt >= attempts, unleased(JobSource)
            )
            .limit(BATCH)
        )
    ]


def end_crashed_source(session: Session, job_id: uuid.UUID, source: str, attempts: int) -> Stage | None:
    """Ends a source that used up its attempts as `error`; returns the stage the job entered, if any."""
    notify = source_repository.lock_job(session, job_id)
    if notify is None:
        return None
    which = and_(
        JobSource.source == source,
        JobSource.state.in_(source_repository.OPEN_STATES),
        JobSource.attempt >= attempts,
        unleased(JobSource),
    )
    reason = case(
        (JobSource.origin == Origin.REFERENCE, f"Taking in its generated images ended abnormally {attempts} times."),
        else_=f"Generating with this source ended abnormally {attempts} times.",
    )
    _end_sources(session, job_id, which, SourceState.ERROR, reason, notify)
    return source_repository.advance_when_all_ended(session, job_id)


_WAITS = and_(JobSource.state == SourceState.PENDING, JobSource.next_attempt_at.is_not(None))
_NO_ROOM = "The job's deadline passed before the source's limits, or the source itself, left room for it."


def _end_sources(
    session: Session,
    job_id: uuid.UUID,
    which: ColumnElement[bool],
    state: SourceState,
    reason: str | ColumnElement[str],
    notify: bool,
) -> None:
    generated = func.jsonb_array_length(JobSource.generated_images)
    # What has been generated, and paid for, counts; not what was brought and nobody has screened.
    some = and_(generated > 0, JobSource.origin == Origin.GENERATOR)
    partly = func.concat(generated, " generated images were made before that. ", reason)
    ended = session.scalars(
        update(JobSource)
        .where(JobSource.job_id == job_id, which)
        .values(
            state=case((some, SourceState.DONE), (_WAITS, SourceState.RATE_LIMITED), else_=state),
            reason=case((some, partly), (_WAITS, _NO_ROOM), else_=reason),
            lease_until=None,
            completed_at=func.clock_timestamp(),
        )
        .returning(JobSource.source)
    ).all()
    if notify:
        deliveries.insert_sources_finished(session, job_id, ended)


def requeue_stale_sources(session: Session, patience: timedelta) -> Sequence[tuple[uuid.UUID, str]]:
    """(job, queue) of sources that stand still; their clocks start anew."""
    waiting = (
        select(JobSource.job_id, JobSource.source)
        .join(Job, Job.id == JobSource.job_id)
        .where(
            Job.status == JobStatus.PROCESSING,
            Job.stage == Stage.RESYNTHESIZING,
            JobSource.state.in_(source_repository.OPEN_STATES),
            JobSource.next_attempt_at.is_(None),
            is_stale(JobSource, patience),
        )
        .limit(BATCH)
        .with_for_update(of=JobSource, skip_locked=True)
        .subquery()
    )
    rows = session.execute(
        update(JobSource)
        .where(JobSource.job_id == waiting.c.job_id, JobSource.source == waiting.c.source)
        .values(requeued_at=func.clock_timestamp(), requeues=JobSource.requeues + 1)
        .returning(JobSource.job_id, JobSource.queue)
    )
    return sorted({(job_id, queue) for job_id, queue in rows})


def list_sources_with_overdue_waits(session: Session) -> Sequence[str]:
    """Sources that jobs wait for whose time has come a while ago: whoever was to look for room may be gone."""
    return session.scalars(
        select(JobSource.source)
        .distinct()
        .where(WAITING, JobSource.next_attempt_at < func.now() - WAIT_GRACE)
        .order_by(JobSource.source)
    ).all()


def requeue_stale_jobs(session: Session, patience: timedelta) -> Sequence[MovedJob]:
    """Jobs that stand still at a stage of their own; their clocks start anew."""
    waiting = (
        select(Job.id)
        .where(
            Job.status.in_(OPEN_STATUSES),
            Job.stage != Stage.RESYNTHESIZING,
            is_stale(Job, patience),
        )
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return _moved(
        session,
        update(Job)
        .where(Job.id.in_(waiting))
        .values(requeued_at=func.clock_timestamp(), requeues=Job.requeues + 1)
        .returning(Job.tenant_id, Job.id, Job.stage),
    )


def fail_crashed_jobs(session: Session, attempts: int) -> Sequence[MovedJob]:
    """Fails jobs whose stage used up its attempts and went silent, so that no image crashes workers for ever."""
    error = StepCrashed(f"A stage ended abnormally {attempts} times on this image and is not tried again; see the log.")
    return _ended(
        session,
        update(Job)
        .where(
            Job.status.in_(OPEN_STATUSES),
            Job.stage != Stage.RESYNTHESIZING,
            Job.attempt >= attempts,
            unleased(Job),
        )
        .values(_failing(error))
        .returning(Job),
    )


def fail_overdue_jobs(session: Session) -> Sequence[MovedJob]:
    """Fails jobs past their deadline that have nothing to rank, or that cannot get to ranking it."""
    error = DeadlineExceeded(
        "The job's deadline passed before it could be answered. Submit it again, or ask fewer sources."
    )
    return _ended(
        session,
        update(Job)
        .where(
            Job.status.in_(OPEN_STATUSES),
            or_(
                and_(
                    Job.stage.in_((Stage.FETCHING, Stage.SCREENING, Stage.CAPTIONING)),
                    Job.deadline_at < func.now(),
                ),
                and_(Job.stage != Stage.RESYNTHESIZING, Job.deadline_at + RANKING_GRACE < func.now()),
            ),
        )
        .values(_failing(error))
        .returning(Job),
    )


def _failing(error: ServiceError) -> dict[str, Any]:
    ending = {name: text(expression) for name, expression in ENDING.items()}
    return {**ending, "status": JobStatus.FAILED, "error": error.document()}


def _ended(session: Session, statement: ReturningUpdate[Job]) -> Sequence[MovedJob]:
    jobs = session.scalars(statement).all()
    for job in jobs:
        deliveries.insert_ended(session, job)
    return [MovedJob(job.tenant_id, job.id, None) for job in jobs]


def _moved(session: Session, statement: object) -> Sequence[MovedJob]:
    rows = session.execute(statement)  # type: ignore[call-overload]
    return [MovedJob(tenant_id, job_id, Stage(stage) if stage else None) for tenant_id, job_id, stage in rows]
