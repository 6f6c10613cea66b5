"""SQL of the sweep: jobs and sources that are overdue, keep crashing, or have not been worked on for too long.

Each function works on a bounded number of rows and skips those another sweep has locked, so that sweeps may overlap.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, text, update
from sqlalchemy.orm import Session

from app.db.models import WAITING, Job, JobSource, JobStatus, Stage
from app.errors import DeadlineExceeded, ServiceError, StepCrashed
from app.jobs.repository import ENDING, unleased
from app.jobs.source_repository import OPEN_STATES
from attribution.ports import Origin, SourceState

BATCH = 500
OPEN_STATUSES = (JobStatus.QUEUED, JobStatus.PROCESSING)
# A job that has generated images at its deadline may still embed and rank them.
RANKING_GRACE = timedelta(minutes=1)
# And reference images that were uploaded in time may still be screened.
SCREENING_GRACE = timedelta(seconds=20)
# How long a source's own process has for resuming a job that is due.
WAIT_GRACE = timedelta(seconds=2)


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


def mark_overdue_sources_ended(session: Session, job_id: uuid.UUID) -> set[str]:
    """Ends the overdue sources of a job that the session has locked as `timeout`; returns them.

    Past the job's deadline all open sources are overdue. Reference images that were uploaded in time still have
    `SCREENING_GRACE` for being screened.
    """
    late, very_late = session.execute(
        select(Job.deadline_at < func.now(), Job.deadline_at + SCREENING_GRACE < func.now()).where(Job.id == job_id)
    ).one()
    if not late:
        which = and_(JobSource.state == SourceState.RUNNING, JobSource.timeout_at < func.now())
        return _end_sources(
            session, job_id, which, SourceState.TIMEOUT, "The source did not finish within its time limit."
        )
    awaited = JobSource.state == SourceState.AWAITING_REFERENCE
    missing = "No reference images of this source were uploaded before the job's deadline."
    ended = _end_sources(session, job_id, awaited, SourceState.TIMEOUT, missing)
    which = JobSource.state.in_(OPEN_STATES)
    if not very_late:
        which = and_(which, JobSource.origin == Origin.GENERATOR)
    reason = "The job's deadline passed before this source had generated."
    return ended | _end_sources(session, job_id, which, SourceState.TIMEOUT, reason)


def list_crashed_sources(session: Session, attempts: int) -> Sequence[tuple[uuid.UUID, str]]:
    """Sources whose last permitted attempt went silent."""
    return [
        (job_id, source)
        for job_id, source in session.execute(
            select(JobSource.job_id, JobSource.source)
            .where(JobSource.state.in_(OPEN_STATES), JobSource.attempt >= attempts, unleased(JobSource))
            .limit(BATCH)
        )
    ]


def mark_crashed_source_ended(session: Session, job_id: uuid.UUID, source: str, attempts: int) -> set[str]:
    """Ends a source of a locked job as `error` if its last attempt ended without an answer; returns it."""
    which = and_(
        JobSource.source == source,
        JobSource.state.in_(OPEN_STATES),
        JobSource.attempt >= attempts,
        unleased(JobSource),
    )
    reason = case(
        (JobSource.origin == Origin.REFERENCE, f"Screening its reference images ended abnormally {attempts} times."),
        else_=f"Generating with this source ended abnormally {attempts} times.",
    )
    return _end_sources(session, job_id, which, SourceState.ERROR, reason)


_WAITS = and_(JobSource.state == SourceState.PENDING, JobSource.next_attempt_at.is_not(None))
_NO_ROOM = "The job's deadline passed before the source's limits, or the source itself, left room for it."


def _end_sources(
    session: Session,
    job_id: uuid.UUID,
    which: ColumnElement[bool],
    state: SourceState,
    reason: str | ColumnElement[str],
) -> set[str]:
    generated = func.jsonb_array_length(JobSource.generated_images)
    # Generated images count, they were paid for; uploaded ones that were not screened do not.
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
    )
    return set(ended)


def requeue_stale_sources(session: Session, patience: timedelta) -> Sequence[tuple[uuid.UUID, str]]:
    """(job, queue) of sources that stand still; their clocks start anew."""
    waiting = (
        select(JobSource.job_id, JobSource.source)
        .join(Job, Job.id == JobSource.job_id)
        .where(
            Job.status == JobStatus.PROCESSING,
            Job.stage == Stage.RESYNTHESIZING,
            JobSource.state.in_(OPEN_STATES),
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
    """Sources whose waiting jobs are due since `WAIT_GRACE`: the process that was to resume them may have died."""
    return session.scalars(
        select(JobSource.source)
        .distinct()
        .where(WAITING, JobSource.next_attempt_at < func.now() - WAIT_GRACE)
        .order_by(JobSource.source)
    ).all()


def requeue_stale_jobs(session: Session, patience: timedelta) -> Sequence[tuple[uuid.UUID, Stage]]:
    """(job, stage) of jobs to be enqueued again at a stage that has no sources."""
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
    rows = session.execute(
        update(Job)
        .where(Job.id.in_(waiting))
        .values(requeued_at=func.clock_timestamp(), requeues=Job.requeues + 1)
        .returning(Job.id, Job.stage)
    )
    return [(job_id, Stage(stage)) for job_id, stage in rows if stage is not None]


def mark_crashed_jobs_failed(session: Session, attempts: int) -> Sequence[Job]:
    """Fails jobs whose stage used up its attempts and went silent, so that no image crashes workers for ever."""
    error = StepCrashed(f"A stage ended abnormally {attempts} times on this image and is not tried again; see the log.")
    return session.scalars(
        update(Job)
        .where(
            Job.status.in_(OPEN_STATUSES),
            Job.stage != Stage.RESYNTHESIZING,
            Job.attempt >= attempts,
            unleased(Job),
        )
        .values(_failing(error))
        .returning(Job)
    ).all()


def mark_overdue_jobs_failed(session: Session) -> Sequence[Job]:
    """Fails jobs past their deadline that have nothing to rank, or that cannot get to ranking it."""
    error = DeadlineExceeded(
        "The job's deadline passed before it could be answered. Submit it again, or ask fewer sources."
    )
    return session.scalars(
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
        .returning(Job)
    ).all()


def _failing(error: ServiceError) -> dict[str, Any]:
    ending = {name: text(expression) for name, expression in ENDING.items()}
    return {**ending, "status": JobStatus.FAILED, "error": error.document()}
