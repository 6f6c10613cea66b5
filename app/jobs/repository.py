"""The repository of jobs: reading, claiming a stage, moving on from it, and canceling.

A stage is claimed by a conditional update and left by another one that is fenced by the claim's attempt: a worker that
comes late, or twice, changes nothing. What every stage runs is written as SQL text: building the same statements
from expressions each time cost a job 20 ms of computing.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, bindparam, column, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.db import blob_repository
from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, JobStatus, Stage
from app.db.types import RaceRecord
from app.errors import Deleted, NotFound, ServiceError

# What every update sets that ends a stage: its duration is noted, its claim is over.
LEAVING: Mapping[str, str] = {
    # A stage that is entered again, by a job that races, adds to its time.
    "timings": "timings || jsonb_build_object(stage, coalesce(CAST(timings ->> stage AS numeric), 0)"
    " + extract(epoch FROM clock_timestamp() - stage_entered_at))",
    "stage_entered_at": "clock_timestamp()",
    "attempt": "0",
    "lease_until": "NULL",
    "requeues": "0",
    "requeued_at": "clock_timestamp()",
}
# What every update sets that ends a job, besides its status.
ENDING: Mapping[str, str] = {**LEAVING, "stage": "NULL", "completed_at": "clock_timestamp()"}
_ROUNDS = "coalesce(jsonb_array_length(race -> 'rounds'), 0)"
# The fence: the row is still at the stage, the round of its race and the attempt that a claim took.
_HELD = f"""
    id = :id AND status = 'processing' AND stage = :held_stage AND {_ROUNDS} = :held_rounds AND attempt = :held_attempt
"""
JSON_COLUMNS = ("image", "evidence", "result", "error", "labels", "webhook_events", "race")


OF_JOBS = ", ".join(f"jobs.{each.name}" for each in Job.__table__.columns)


def returning_jobs(statement: str) -> Executable:
    """A statement that ends with RETURNING OF_JOBS. With its columns listed, SQLAlchemy need not look for them."""
    return select(Job).from_statement(text(statement).columns(*Job.__table__.columns))


def set_clause(values: Mapping[str, str]) -> str:
    """The SET clause of SQL expressions by column."""
    return ", ".join(f"{column} = {expression}" for column, expression in values.items())


def get_by_id(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """The job, if it is this tenant's."""
    return session.scalars(_FIND, {"tenant_id": tenant_id, "id": job_id}).one_or_none()


_FIND = select(Job).where(Job.id == bindparam("id"), Job.tenant_id == bindparam("tenant_id"))


def lock_by_id(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """The job, if it is this tenant's, with its row lock."""
    statement = select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id).with_for_update()
    return session.scalars(statement, execution_options=_ANEW).one_or_none()


def get_existing_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, *, keep: bool = False) -> Job:
    """The tenant's job; with `keep` it cannot be deleted before the transaction ends. Raises NotFound and Deleted."""
    job = get_by_id(session, tenant_id, job_id)
    if job is not None and keep:
        session.refresh(job, with_for_update={"read": True})
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if job.deleted_at is not None:
        raise Deleted(f"Job {job_id} was deleted.")
    return job


def unleased(step: type[Job] | type[JobSource]) -> ColumnElement[bool]:
    """No worker has a lease on the step, or the lease has expired."""
    return or_(step.lease_until.is_(None), step.lease_until < func.now())


def job_claim_fence(job: Job) -> ColumnElement[bool]:
    """The fence as an expression, for statements that are not run for every job."""
    return and_(
        Job.id == job.id,
        Job.status == JobStatus.PROCESSING,
        Job.stage == job.stage,
        func.coalesce(func.jsonb_array_length(Job.race["rounds"]), 0) == rounds_of(job),
        Job.attempt == job.attempt,
    )


def rounds_of(job: Job) -> int:
    """How many rounds of its race the job has begun; 0 of one that does not race."""
    return 0 if job.race is None else len(job.race.rounds)


def claim_stage(session: Session, job_id: uuid.UUID, stage: Stage, lease: timedelta, attempts: int) -> Job | None:
    """Takes the stage for this worker; None when it is done, held by another or used up its attempts."""
    given = {"id": job_id, "stage": stage, "lease": lease, "attempts": attempts}
    return session.scalars(_CLAIM, given, execution_options={"populate_existing": True}).one_or_none()


_CLAIM = returning_jobs(
    f"""
        UPDATE jobs SET status = 'processing', attempt = attempt + 1, lease_until = now() + :lease,
                        started_at = coalesce(started_at, clock_timestamp())
        WHERE id = :id AND stage = :stage AND status IN ('queued', 'processing') AND attempt < :attempts
              AND (lease_until IS NULL OR lease_until < now())
        RETURNING {OF_JOBS}
        """  # noqa: S608 - our own words
)


def claim_stage_fairly(
    session: Session,
    job_id: uuid.UUID,
    stage: Stage,
    lease: timedelta,
    attempts: int,
    clocks: Mapping[uuid.UUID, float],
    now: float,
) -> Job | None:
    """Takes the stage of one job; of which, the turns of tenants decide where several wait.

    Args:
        session: For one statement.
        job_id: The job to take where only one tenant waits, or if it was claimed before; if it can be taken.
        stage: The stage.
        lease: How long the claim lasts.
        attempts: How often a stage may be claimed.
        clocks: Of tenants that have had turns; the oldest job of the tenant with the earliest clock is taken.
        now: The clock of all other tenants.

    Returns:
        The job; None when another worker was faster, or there is nothing to do.
    """
    turns = [{"tenant_id": str(tenant_id), "clock": clock} for tenant_id, clock in clocks.items()]
    given = {"id": job_id, "stage": stage, "lease": lease, "attempts": attempts, "turns": json.dumps(turns), "now": now}
    return session.scalars(_CLAIM_FAIRLY, given, execution_options={"populate_existing": True}).one_or_none()


_CLAIM_FAIRLY = returning_jobs(
    f"""
        WITH first AS MATERIALIZED (
            SELECT DISTINCT ON (tenant_id) id, tenant_id FROM jobs
            WHERE stage = :stage AND status IN ('queued', 'processing') AND attempt = 0
                  AND (lease_until IS NULL OR lease_until < now())
            ORDER BY tenant_id, id
        ), next AS MATERIALIZED (
            SELECT first.id
            FROM first LEFT JOIN jsonb_to_recordset(CAST(:turns AS jsonb)) AS turn (tenant_id uuid, clock float)
                 USING (tenant_id)
            ORDER BY coalesce(turn.clock, :now), first.id LIMIT 1
        ), own AS (
            SELECT FROM jobs
            WHERE id = :id AND stage = :stage AND status IN ('queued', 'processing') AND attempt < :attempts
                  AND (lease_until IS NULL OR lease_until < now())
                  AND (attempt > 0 OR (SELECT count(*) FROM first) <= 1)
        )
        UPDATE jobs SET status = 'processing', attempt = attempt + 1, lease_until = now() + :lease,
                        started_at = coalesce(started_at, clock_timestamp())
        WHERE id = CASE WHEN EXISTS (SELECT FROM own) THEN :id ELSE (SELECT id FROM next) END
              AND stage = :stage AND status IN ('queued', 'processing') AND attempt < :attempts
              AND (lease_until IS NULL OR lease_until < now())
        RETURNING {OF_JOBS}
        """  # noqa: S608 - our own words
)


def advance(
    session: Session,
    job: Job,
    to: Stage,
    claim_for: timedelta | None = None,
    values: Mapping[str, Any] | None = None,
    uses: Mapping[str, StoredBlob] | None = None,
) -> tuple[Job | None, Sequence[StoredBlob]]:
    """Moves a claimed job to its next stage; None when the claim was fenced off, and nothing was recorded.

    `uses` are the blobs that it uses from now on; those to be put again are returned.
    With `claim_for` the next stage is claimed in the same statement, by a worker that continues with it. Where no
    source is to be waited for, resynthesizing is passed over: the returned job says which stage it entered.
    """
    sets: dict[str, str] = {**LEAVING, "stage": _PAST_SOURCES if to is Stage.RESYNTHESIZING else ":to"}
    given: dict[str, Any] = {} if to is Stage.RESYNTHESIZING else {"to": to}
    if claim_for is not None:
        sets |= {"attempt": "1", "lease_until": "now() + :lease"}
        given["lease"] = claim_for
    if not uses:
        return _leave(session, job, sets, given, values or {}), ()
    return _leave_using(session, job, sets, given, values or {}, blob_repository.sorted_by_hash(uses))


def begin_round(session: Session, job: Job, race: RaceRecord) -> Job | None:
    """Moves a claimed job from ranking back to resynthesizing; None when the claim was fenced off.

    The sources of the new round are reopened in the same transaction.
    """
    return _leave(session, job, {**LEAVING, "stage": "'resynthesizing'"}, {}, {"race": race.document()})


# With nothing generated there is nothing to embed; ranking then says which sources were not tested, and why.
AFTER_SOURCES = "CASE WHEN bool_or(state = 'done') THEN 'embedding' ELSE 'ranking' END"
# Sources that are to be generated, or whose reference images are to be uploaded.
STILL_OPEN = "state IN ('pending', 'running', 'awaiting_reference')"
_PAST_SOURCES = f"""(
    SELECT CASE WHEN bool_or({STILL_OPEN}) THEN 'resynthesizing' ELSE {AFTER_SOURCES} END
    FROM job_sources WHERE job_id = jobs.id
)"""  # noqa: S608 - our own words


def mark_succeeded(
    session: Session, job: Job, result: dict[str, Any], values: Mapping[str, Any] | None = None
) -> Job | None:
    """Ends a claimed job with its result, and returns it; None when the claim was fenced off.

    The commit waits for the disk by itself: without an event to insert, one statement suffices.
    """
    values = {"result": result, **(values or {})}
    return _leave(session, job, {**ENDING, "status": "'succeeded'"}, {}, values, durable=True)


def mark_failed(session: Session, job: Job, error: ServiceError) -> Job | None:
    """Ends a claimed job with an error, and returns it; None when the claim was fenced off."""
    return _leave(session, job, {**ENDING, "status": "'failed'"}, {}, {"error": error.document()})


def _leave(
    session: Session,
    job: Job,
    sets: Mapping[str, str],
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    durable: bool = False,
) -> Job | None:
    statement = _moving(tuple(sets.items()), tuple(values), durable)
    return session.scalars(statement, _held(job, given, values), execution_options=_ANEW).one_or_none()


def _leave_using(
    session: Session,
    job: Job,
    sets: Mapping[str, str],
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    used: Sequence[tuple[str, StoredBlob]],
) -> tuple[Job | None, Sequence[StoredBlob]]:
    """One statement: a transaction of its own cost every stage that stores something three round trips."""
    given = _held(job, given, values) | {"records": blob_repository.reference_records(used)}
    statement = _leaving_using(tuple(sets.items()), tuple(values))
    row = session.execute(statement, given, execution_options=_ANEW).one_or_none()
    if row is None:
        return None, ()
    return row[0], blob_repository.deleted_meanwhile(used, row[1])


_ANEW = {"populate_existing": True}


def _held(job: Job, given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **given,
        **{name: json.dumps(value) if name in JSON_COLUMNS else value for name, value in values.items()},
        **_fence(job),
    }


def _fence(job: Job) -> dict[str, Any]:
    return {"id": job.id, "held_stage": job.stage, "held_rounds": rounds_of(job), "held_attempt": job.attempt}


@lru_cache
def _moving(sets: tuple[tuple[str, str], ...], columns: tuple[str, ...], durable: bool) -> Executable:
    return returning_jobs(_leaving(sets, columns, durable))


def _leaving(sets: tuple[tuple[str, str], ...], columns: tuple[str, ...], durable: bool = False) -> str:
    values = {name: f"CAST(:{name} AS jsonb)" if name in JSON_COLUMNS else f":{name}" for name in columns}
    also = "FROM (SELECT set_config('synchronous_commit', 'on', true)) AS durable" if durable else ""
    return f"UPDATE jobs SET {set_clause({**dict(sets), **values})} {also} WHERE {_HELD} RETURNING {OF_JOBS}"  # noqa: S608 - ours


@lru_cache
def _leaving_using(sets: tuple[tuple[str, str], ...], columns: tuple[str, ...]) -> Executable:
    gone = column("gone", JSONB)
    statement = f"""
        WITH moved AS ({_leaving(sets, columns)}), {blob_repository.references_cte("moved")}
        SELECT {", ".join(f"moved.{each.name}" for each in Job.__table__.columns)},
               {blob_repository.GONE} AS gone
        FROM moved
        """  # noqa: S608 - our own words
    return select(Job, gone).from_statement(text(statement).columns(*Job.__table__.columns, gone))


def release_claim(session: Session, job: Job) -> bool:
    """Gives a claim back after an error that may pass; the sweep hands the stage on again."""
    return session.execute(_RELEASE, _fence(job)).one_or_none() is not None


_RELEASE = text(f"UPDATE jobs SET lease_until = NULL, requeued_at = clock_timestamp() WHERE {_HELD} RETURNING id")  # noqa: S608 - our own words


def release_claim_uncounted(session: Session, job: Job) -> bool:
    """Gives a claim back without counting it as an attempt: its worker stops. False when it was fenced off."""
    values = {"attempt": Job.attempt - 1, "lease_until": None, "requeued_at": func.clock_timestamp()}
    return session.scalar(update(Job).where(job_claim_fence(job)).values(values).returning(Job.id)) is not None


def mark_canceled(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """Ends a job that has not ended; None when there was nothing to end. A worker's claim of it is fenced off."""
    return session.scalars(_CANCEL, {"id": job_id, "tenant_id": tenant_id}).one_or_none()


_CANCEL = returning_jobs(
    f"""
        UPDATE jobs SET {set_clause(ENDING)}, status = 'canceled'
        WHERE id = :id AND tenant_id = :tenant_id AND status IN ('queued', 'processing')
        RETURNING {OF_JOBS}
        """  # noqa: S608 - our own words
)


def list_due_for_cancellation(session: Session, limit: int) -> Sequence[tuple[uuid.UUID, uuid.UUID]]:
    """(tenant, job) of open jobs whose `cancel_at` has passed."""
    return [(tenant_id, job_id) for tenant_id, job_id in session.execute(_TO_CANCEL, {"limit": limit})]


_TO_CANCEL = text(
    "SELECT tenant_id, id FROM jobs WHERE cancel_at <= now() AND status IN ('queued', 'processing') LIMIT :limit"
)


def lock_resynthesizing(session: Session, job_id: uuid.UUID) -> bool | None:
    """Takes the row lock of a job that is being resynthesized; whether it has receivers.

    None when it is not being resynthesized (any more).
    """
    notify: bool | None = session.scalar(_LOCK_RESYNTHESIZING, {"job_id": job_id})
    return notify


_LOCK_RESYNTHESIZING = text(
    "SELECT notify FROM jobs WHERE id = :job_id AND status = 'processing' AND stage = 'resynthesizing' FOR UPDATE"
)


def advance_when_sources_ended(session: Session, job_id: uuid.UUID) -> Stage | None:
    """Moves a locked job on if none of its sources is open; returns the stage it entered."""
    to = session.scalar(_JOIN, {"job_id": job_id})
    return None if to is None else Stage(to)


_JOIN = text(
    f"""
    UPDATE jobs SET {set_clause(LEAVING)}, stage = s.next
    FROM (
        SELECT {AFTER_SOURCES} AS next, bool_or({STILL_OPEN}) AS waiting
        FROM job_sources WHERE job_id = :job_id
    ) s
    WHERE id = :job_id AND NOT s.waiting
    RETURNING stage
    """  # noqa: S608 - our own words
)


def mark_parts_deleted(session: Session, job_ids: Sequence[uuid.UUID], *, images: bool, captions: bool) -> None:
    """Records when images, captions or both of these jobs were deleted; the first time stands."""
    given = {"job_ids": list(job_ids), "images": images, "captions": captions}
    if job_ids:
        session.execute(_MARK_PARTS_DELETED, given)


def mark_deleted(session: Session, job_id: uuid.UUID) -> None:
    """Records that a job was deleted whole, and that it has no deliveries any more."""
    session.execute(_MARK_DELETED, {"id": job_id})
    mark_parts_deleted(session, [job_id], images=True, captions=True)


_MARK_PARTS_DELETED = text(
    """
    UPDATE jobs SET
        images_deleted_at = CASE WHEN :images THEN coalesce(images_deleted_at, clock_timestamp())
                                 ELSE images_deleted_at END,
        captions_deleted_at = CASE WHEN :captions THEN coalesce(captions_deleted_at, clock_timestamp())
                                   ELSE captions_deleted_at END
    WHERE id = ANY(:job_ids)
    """
)
_MARK_DELETED = text("UPDATE jobs SET deleted_at = clock_timestamp(), notify = false WHERE id = :id")
