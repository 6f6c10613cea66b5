"""The repository of a job's sources: fan-out, claims, and the join.

The join is a fact in the database: whoever ends the last open source of a job moves the job on, in the same
transaction and under the job's row lock, so that of two that finish together exactly one does.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, SmallInteger, Text, and_, column, func, select, update
from sqlalchemy import cast as cast_sql
from sqlalchemy.dialects.postgresql import JSONB
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a claimed source ends. `drawings` are {"seed", "blob"} in the order of k."""

    row: JobSource
    state: SourceState
    reason: str | None = None
    drawings: Sequence[Mapping[str, Any]] = ()


def fan_out(session: Session, job_id: uuid.UUID) -> Sequence[str]:
    """The queues of the sources to be drawn now, in catalogue order; starts the sweep's clock for them."""
    rows = session.execute(
        update(JobSource)
        .where(JobSource.job_id == job_id, JobSource.state == SourceState.PENDING)
        .values(handed_on_at=func.clock_timestamp())
        .returning(JobSource.position, JobSource.queue)
    ).all()
    return list(dict.fromkeys(queue for _, queue in sorted((position, queue) for position, queue in rows)))


def claim(session: Session, job_id: uuid.UUID, queue: str, lease: timedelta, attempts: int) -> Sequence[SourceClaim]:
    """Takes the sources of one job that wait in one queue; none when there is nothing to do."""
    return _claim(session, (JobSource.job_id == job_id) & (JobSource.queue == queue), lease, attempts)


def claim_next(session: Session, queue: str, lease: timedelta, attempts: int) -> Sequence[SourceClaim]:
    """Takes the oldest waiting job of a queue whose model is loaded already; none when none waits."""
    oldest = (
        select(JobSource.job_id)
        .join(Job, Job.id == JobSource.job_id)
        .where(
            JobSource.queue == queue,
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
    return _claim(session, (JobSource.job_id == oldest) & (JobSource.queue == queue), lease, attempts)


def _claim(session: Session, which: ColumnElement[bool], lease: timedelta, attempts: int) -> Sequence[SourceClaim]:
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
    )
    return [
        SourceClaim(row, caption or "", candidates, seed, cast(timedelta, remaining))
        for row, caption, candidates, seed, remaining in found
    ]


def running(claimed: JobSource) -> ColumnElement[bool]:
    """The fence: the row is still running under the attempt that this claim took."""
    return and_(
        JobSource.job_id == claimed.job_id,
        JobSource.source == claimed.source,
        JobSource.state == SourceState.RUNNING,
        JobSource.attempt == claimed.attempt,
    )


def finish(session: Session, job_id: uuid.UUID, outcomes: Sequence[Outcome]) -> tuple[set[str], Stage | None]:
    """Ends claimed sources of a job. Returns those whose claim stood, and the stage the job entered, if any."""
    if not lock(session, job_id):
        return set(), None
    ends = (
        func.jsonb_to_recordset(
            cast_sql(
                [
                    {
                        "source": outcome.row.source,
                        "attempt": outcome.row.attempt,
                        "state": outcome.state.value,
                        "reason": outcome.reason,
                        "drawings": list(outcome.drawings),
                    }
                    for outcome in outcomes
                ],
                JSONB,
            )
        )
        .table_valued(
            column("source", Text),
            column("attempt", SmallInteger),
            column("state", Text),
            column("reason", Text),
            column("drawings", JSONB),
        )
        .render_derived(name="ends", with_types=True)
    )
    stood = session.scalars(
        update(JobSource)
        .where(
            JobSource.job_id == job_id,
            JobSource.source == ends.c.source,
            JobSource.state == SourceState.RUNNING,
            JobSource.attempt == ends.c.attempt,
        )
        .values(ended(ends.c.state, ends.c.reason) | {"drawings": ends.c.drawings})
        .returning(JobSource.source)
    )
    return set(stood), join(session, job_id)


def release(session: Session, claimed: JobSource) -> None:
    """Gives a claim back after an error that may pass; the sweep hands the source on again."""
    session.execute(
        update(JobSource)
        .where(running(claimed))
        .values(state=SourceState.PENDING, lease_until=None, handed_on_at=func.clock_timestamp())
    )


def ended(state: SourceState | ColumnElement[str], reason: str | ColumnElement[str] | None) -> dict[str, Any]:
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
