"""The repository of a job's sources: fan-out, claims, and the join.

The join is a fact in the database: whoever ends the last open source of a job moves the job on, in the same
transaction and under the job's row lock, so that of two that finish together exactly one does.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from app.store.jobs import leaving, unheld
from app.store.models import Job, JobSource, JobStatus, Stage
from attribution.ports import SourceState

OPEN_STATES = (SourceState.PENDING, SourceState.RUNNING)


@dataclass(frozen=True, slots=True)
class SourceClaim:
    """A source's row as claimed, with what drawing needs of its job."""

    row: JobSource
    caption: str
    candidates: int
    seed: int | None
    remaining: timedelta  # until the job's deadline


def fan_out(session: Session, job_id: uuid.UUID) -> Sequence[tuple[str, str]]:
    """(source, queue) of the sources to be drawn now, in catalogue order; starts the sweep's clock for them."""
    rows = session.execute(
        update(JobSource)
        .where(JobSource.job_id == job_id, JobSource.state == SourceState.PENDING)
        .values(handed_on_at=func.clock_timestamp())
        .returning(JobSource.position, JobSource.source, JobSource.queue)
    ).all()
    return [(source, queue) for _, source, queue in sorted(rows)]


def claim(session: Session, job_id: uuid.UUID, source: str, lease: timedelta, attempts: int) -> SourceClaim | None:
    """Takes one source of one job for this worker; None when there is nothing to do."""
    return _claim(session, (JobSource.job_id == job_id) & (JobSource.source == source), lease, attempts)


def claim_next(session: Session, source: str, lease: timedelta, attempts: int) -> SourceClaim | None:
    """Takes the oldest waiting job of a source whose model is loaded already; None when none waits."""
    oldest = (
        select(JobSource.job_id)
        .join(Job, Job.id == JobSource.job_id)
        .where(
            JobSource.source == source,
            JobSource.state == SourceState.PENDING,
            JobSource.attempt < attempts,
            unheld(JobSource),
            Job.status == JobStatus.PROCESSING,
            Job.stage == Stage.RESYNTHESISING,
        )
        .order_by(JobSource.handed_on_at)
        .limit(1)
        .with_for_update(of=JobSource, skip_locked=True)
        .scalar_subquery()
    )
    return _claim(session, (JobSource.job_id == oldest) & (JobSource.source == source), lease, attempts)


def _claim(session: Session, which: ColumnElement[bool], lease: timedelta, attempts: int) -> SourceClaim | None:
    found = session.execute(
        update(JobSource)
        .where(
            which,
            Job.id == JobSource.job_id,
            Job.status == JobStatus.PROCESSING,
            Job.stage == Stage.RESYNTHESISING,
            JobSource.state.in_(OPEN_STATES),
            JobSource.attempt < attempts,
            unheld(JobSource),
        )
        .values(
            state=SourceState.RUNNING,
            attempt=JobSource.attempt + 1,
            lease_until=func.now() + lease,
            started_at=func.clock_timestamp(),
            timeout_at=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, JobSource.timeout_seconds),
        )
        .returning(JobSource, Job.caption, Job.candidates, Job.seed, Job.deadline_at - func.clock_timestamp())
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        return None
    row, caption, candidates, seed, remaining = found
    return SourceClaim(row, caption or "", candidates, seed, cast(timedelta, remaining))


def running(claimed: JobSource) -> ColumnElement[bool]:
    """The fence: the row is still running under the attempt that this claim took."""
    return and_(
        JobSource.job_id == claimed.job_id,
        JobSource.source == claimed.source,
        JobSource.state == SourceState.RUNNING,
        JobSource.attempt == claimed.attempt,
    )


def finish(
    session: Session,
    claimed: JobSource,
    state: SourceState,
    reason: str | None,
    drawings: list[dict[str, Any]],
) -> tuple[bool, Stage | None]:
    """Ends a claimed source. Returns whether the claim stood, and the stage the job entered if this was the last."""
    if not lock(session, claimed.job_id):
        return False, None
    stood = session.scalar(
        update(JobSource)
        .where(running(claimed))
        .values(ended(state, reason) | {"drawings": drawings})
        .returning(JobSource.source)
    )
    return (False, None) if stood is None else (True, join(session, claimed.job_id))


def release(session: Session, claimed: JobSource) -> None:
    """Gives a claim back after an error that may pass; the sweep hands the source on again."""
    session.execute(
        update(JobSource)
        .where(running(claimed))
        .values(state=SourceState.PENDING, lease_until=None, handed_on_at=func.clock_timestamp())
    )


def ended(state: SourceState, reason: str | None) -> dict[str, Any]:
    """The values of every update that ends a source."""
    return {
        "state": state,
        "reason": reason,
        "lease_until": None,
        "completed_at": func.clock_timestamp(),
    }


def lock(session: Session, job_id: uuid.UUID) -> bool:
    """Takes the row lock of a job that is being resynthesised; False when it is not (any more)."""
    return (
        session.scalar(
            select(Job.id)
            .where(Job.id == job_id, Job.status == JobStatus.PROCESSING, Job.stage == Stage.RESYNTHESISING)
            .with_for_update()
        )
        is not None
    )


def join(session: Session, job_id: uuid.UUID) -> Stage | None:
    """Moves a locked job on if none of its sources is open; returns the stage it entered."""
    states = set(session.scalars(select(JobSource.state).where(JobSource.job_id == job_id)))
    if states & set(OPEN_STATES):
        return None
    # With nothing drawn there is nothing to embed; ranking then says which sources were not tested, and why.
    to = Stage.EMBEDDING if SourceState.DONE in states else Stage.RANKING
    session.execute(update(Job).where(Job.id == job_id).values(leaving() | {"stage": to}))
    return to
