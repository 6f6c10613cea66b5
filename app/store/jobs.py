"""The repository of jobs: accepting, reading, claiming a stage, moving on from it, and canceling.

A stage is claimed by a conditional update and left by another one that is fenced by the claim's attempt: whoever
comes late, or twice, changes nothing. What every stage runs is written as SQL text: building the same statements
from expressions each time cost a job 20 ms of computing.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, bindparam, func, or_, select, text
from sqlalchemy.orm import Session

from app.errors import InvalidRequest, ServiceError
from app.store.models import Job, JobSource, JobStatus, Stage, Tenant
from app.store.usable import NEWEST_ID
from app.webhook import deliveries
from attribution.ports import SourceState

# What every update sets that ends a stage: its duration is noted, its claim is over.
LEAVING: Mapping[str, str] = {
    "timings": "timings || jsonb_build_object(stage, extract(epoch FROM clock_timestamp() - stage_since))",
    "stage_since": "clock_timestamp()",
    "attempt": "0",
    "lease_until": "NULL",
    "hand_ons": "0",
    "handed_on_at": "clock_timestamp()",
}
# What every update sets that ends a job, besides its status.
ENDING: Mapping[str, str] = {**LEAVING, "stage": "NULL", "completed_at": "clock_timestamp()"}
# The fence: the row is still at the stage and attempt that a claim took.
_HELD = "id = :id AND status = 'processing' AND stage = :held_stage AND attempt = :held_attempt"
_JSON_COLUMNS = ("image", "evidence", "result", "error", "labels", "webhook_events")


def setting(values: Mapping[str, str]) -> str:
    """The SET clause of SQL expressions by column."""
    return ", ".join(f"{column} = {expression}" for column, expression in values.items())


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
    warning: str | None = None
    external: bool = False  # whether prompts would leave the house


@dataclass(frozen=True, slots=True)
class NewJob:
    """An image that passed intake, or is yet to be fetched, and what is asked about it."""

    tenant_id: uuid.UUID
    image: dict[str, Any] | None
    query_blob: str | None
    candidates: int
    sources: Sequence[NewSource]
    deadline: timedelta
    prompt: str | None = None
    seed: int | None = None
    evidence: dict[str, Any] | None = None
    image_url: str | None = None
    external_id: str | None = None
    labels: dict[str, Any] | None = None
    cancel_after: timedelta | None = None
    # As asked; the tenant's own word, or else the installation's, stands where nothing was.
    budget_usd: Decimal | None = None
    usual_budget_usd: Decimal | None = None
    max_budget_usd: Decimal | None = None
    local_only: bool = False
    usual_local_only: bool = False
    webhook_url: str | None = None
    webhook_events: Sequence[str] | None = None
    cache: bool = True
    answer_key: str | None = None
    answer_ttl: timedelta | None = None  # an answer that is younger may be used
    stage: Stage = Stage.SCREENING
    id: uuid.UUID | None = None  # Postgres makes one, ordered by time


def accept(session: Session, new: NewJob) -> tuple[Job, Sequence[JobSource]]:
    """Inserts the job and a row per source; returns them as a caller would be shown them.

    Raises InvalidRequest for a budget that is more than the tenant may ask for.
    """
    given = {
        field: json.dumps(value) if field in _JSON_COLUMNS and value is not None else value
        for field, value in ((each.name, getattr(new, each.name)) for each in fields(new))
    }
    job = session.scalars(_ACCEPT, given).one_or_none()
    if job is None:
        raise _too_much(session, new)
    sources = [_kept_in(source) if job.local_only else source for source in new.sources]
    rows = [
        asdict(source) | {"position": position, "timeout": source.timeout.total_seconds()}
        for position, source in enumerate(sources)
    ]
    session.execute(_ACCEPT_SOURCES, {"job_id": job.id, "tenant_id": new.tenant_id, "rows": json.dumps(rows)})
    return job, [_accepted(job, position, source) for position, source in enumerate(sources)]


def _kept_in(source: NewSource) -> NewSource:
    """The source as it is for a job of which nothing may leave the house."""
    if not source.external or source.state is not SourceState.PENDING:
        return source
    sentence = "The job is local only, and this source would have been sent its caption."
    return replace(source, state=SourceState.SKIPPED, reason=sentence)


def _too_much(session: Session, new: NewJob) -> InvalidRequest:
    own = session.scalar(select(Tenant.max_budget_usd).where(Tenant.id == new.tenant_id))
    most = new.max_budget_usd if own is None else own
    detail = f"must not be more than {most:f}, which is the most that one job may spend"
    return InvalidRequest(
        f"A job may spend {most:f} US dollars at most; ask for less.",
        errors=[{"detail": detail, "pointer": "#/budget_usd"}],
    )


def _accepted(job: Job, position: int, source: NewSource) -> JobSource:
    """The row as it was inserted: reading ten of them back cost more than inserting them."""
    return JobSource(
        job_id=job.id,
        tenant_id=job.tenant_id,
        position=position,
        timeout_seconds=source.timeout.total_seconds(),
        drawings=[],
        **{name: getattr(source, name) for name in _TOLD},
    )


_TOLD = ("source", "family", "platform", "model", "revision", "queue", "state", "reason", "warning")


_ACCEPT = select(Job).from_statement(
    text(
        f"""
        INSERT INTO jobs (id, tenant_id, stage, candidates, prompt, seed, image_url, image, query_blob, evidence,
                          external_id, metadata, webhook_url, webhook_events, notify, deadline_at, cancel_at,
                          local_only, budget_usd, cache, answer_key, cached_from)
        SELECT coalesce(CAST(:id AS uuid), uuidv7()), t.id, :stage, :candidates, :prompt, :seed,
               :image_url, CAST(:image AS jsonb), :query_blob, CAST(:evidence AS jsonb),
               :external_id, CAST(:labels AS jsonb), :webhook_url, CAST(:webhook_events AS jsonb),
               CAST(:webhook_url AS text) IS NOT NULL OR {deliveries.WANTED},
               now() + :deadline, now() + CAST(:cancel_after AS interval),
               :local_only OR coalesce(t.local_only, :usual_local_only),
               coalesce(asked.budget, least(coalesce(t.budget_usd, :usual_budget_usd), asked.most)),
               :cache, :answer_key, {NEWEST_ID}
        FROM tenants t, LATERAL (
            SELECT CAST(:budget_usd AS numeric) AS budget,
                   coalesce(t.max_budget_usd, CAST(:max_budget_usd AS numeric)) AS most
        ) asked
        WHERE t.id = :tenant_id AND (asked.budget IS NULL OR asked.most IS NULL OR asked.budget <= asked.most)
        RETURNING *
        """  # noqa: S608 - our own words
    )
)
_ACCEPT_SOURCES = text(
    """
    INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision, queue,
                             timeout_seconds, state, reason, warning)
    SELECT :job_id, :tenant_id, position, source, family, platform, model, revision, queue, timeout, state, reason,
           warning
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS new (
        position smallint, source text, family text, platform text, model text, revision text, queue text,
        timeout float, state text, reason text, warning text)
    """
)


def find(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """The job, if it is this tenant's."""
    return session.scalars(_FIND, {"tenant_id": tenant_id, "id": job_id}).one_or_none()


_FIND = select(Job).where(Job.id == bindparam("id"), Job.tenant_id == bindparam("tenant_id"))


def sources_of(session: Session, job_id: uuid.UUID) -> Sequence[JobSource]:
    """The job's sources in catalogue order."""
    return session.scalars(_SOURCES, {"job_id": job_id}).all()


_SOURCES = select(JobSource).from_statement(text("SELECT * FROM job_sources WHERE job_id = :job_id ORDER BY position"))


def unheld(step: type[Job] | type[JobSource]) -> ColumnElement[bool]:
    """Nobody holds a lease on the step, or its holder went silent."""
    return or_(step.lease_until.is_(None), step.lease_until < func.now())


def held(job: Job) -> ColumnElement[bool]:
    """The fence as an expression, for statements that are not run for every job."""
    return and_(
        Job.id == job.id,
        Job.status == JobStatus.PROCESSING,
        Job.stage == job.stage,
        Job.attempt == job.attempt,
    )


def claim(session: Session, job_id: uuid.UUID, stage: Stage, lease: timedelta, attempts: int) -> Job | None:
    """Takes the stage for this worker; None when it is done, held by another or used up its attempts."""
    given = {"id": job_id, "stage": stage, "lease": lease, "attempts": attempts}
    return session.scalars(_CLAIM, given, execution_options={"populate_existing": True}).one_or_none()


_CLAIM = select(Job).from_statement(
    text(
        """
        UPDATE jobs SET status = 'processing', attempt = attempt + 1, lease_until = now() + :lease,
                        started_at = coalesce(started_at, clock_timestamp())
        WHERE id = :id AND stage = :stage AND status IN ('queued', 'processing') AND attempt < :attempts
              AND (lease_until IS NULL OR lease_until < now())
        RETURNING *
        """
    )
)


def advance(
    session: Session, job: Job, to: Stage, claim_for: timedelta | None = None, values: Mapping[str, Any] | None = None
) -> Job | None:
    """Moves a claimed job to its next stage; None when the claim was fenced off.

    With `claim_for` the next stage is claimed in the same statement, by a worker that goes on with it.
    """
    sets: dict[str, str] = {**LEAVING, "stage": ":to"}
    given: dict[str, Any] = {"to": to}
    if claim_for is not None:
        sets |= {"attempt": "1", "lease_until": "now() + :lease"}
        given["lease"] = claim_for
    return _leave(session, job, sets, given, values or {})


def succeed(session: Session, job: Job, result: dict[str, Any], values: Mapping[str, Any] | None = None) -> Job | None:
    """Ends a claimed job with its answer, and returns it; None when the claim was fenced off."""
    values = {"result": result, **(values or {})}
    return _told(session, _leave(session, job, {**ENDING, "status": "'succeeded'"}, {}, values))


def fail(session: Session, job: Job, error: ServiceError) -> Job | None:
    """Ends a claimed job without an answer, and returns it; None when the claim was fenced off."""
    return _told(session, _leave(session, job, {**ENDING, "status": "'failed'"}, {}, {"error": error.document()}))


def _told(session: Session, ended: Job | None) -> Job | None:
    """An end and the rows that tell receivers of it are one transaction."""
    if ended is not None:
        deliveries.ended(session, ended)
    return ended


def _leave(
    session: Session, job: Job, sets: Mapping[str, str], given: Mapping[str, Any], values: Mapping[str, Any]
) -> Job | None:
    statement = _leaving(tuple(sets.items()), tuple(values))
    given = {
        **given,
        **{name: json.dumps(value) if name in _JSON_COLUMNS else value for name, value in values.items()},
        "id": job.id,
        "held_stage": job.stage,
        "held_attempt": job.attempt,
    }
    return session.scalars(statement, given, execution_options={"populate_existing": True}).one_or_none()


@lru_cache
def _leaving(sets: tuple[tuple[str, str], ...], columns: tuple[str, ...]) -> Executable:
    values = {name: f"CAST(:{name} AS jsonb)" if name in _JSON_COLUMNS else f":{name}" for name in columns}
    statement = f"UPDATE jobs SET {setting({**dict(sets), **values})} WHERE {_HELD} RETURNING *"  # noqa: S608 - our words
    return select(Job).from_statement(text(statement))


def release(session: Session, job: Job) -> bool:
    """Gives a claim back after an error that may pass; the sweep hands the stage on again."""
    given = {"id": job.id, "held_stage": job.stage, "held_attempt": job.attempt}
    return session.execute(_RELEASE, given).one_or_none() is not None


_RELEASE = text(f"UPDATE jobs SET lease_until = NULL, handed_on_at = clock_timestamp() WHERE {_HELD} RETURNING id")  # noqa: S608 - our own words


def cancel(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """Ends a job that has not ended, and its open sources; None when there was nothing to end.

    Whoever works on it is fenced off: what comes late is dropped.
    """
    job = session.scalars(_CANCEL, {"id": job_id, "tenant_id": tenant_id}).one_or_none()
    if job is not None:
        session.execute(_SKIP_SOURCES, {"job_id": job_id})
    return _told(session, job)


_CANCEL = select(Job).from_statement(
    text(
        f"""
        UPDATE jobs SET {setting(ENDING)}, status = 'canceled'
        WHERE id = :id AND tenant_id = :tenant_id AND status IN ('queued', 'processing')
        RETURNING *
        """  # noqa: S608 - our own words
    )
)
_SKIP_SOURCES = text(
    """
    UPDATE job_sources SET state = 'skipped', reason = 'The job was canceled before this source had drawn.',
                           lease_until = NULL, completed_at = clock_timestamp()
    WHERE job_id = :job_id AND state IN ('pending', 'running')
    """
)


def to_cancel(session: Session, limit: int) -> Sequence[tuple[uuid.UUID, uuid.UUID]]:
    """(tenant, job) of open jobs whose caller asked for them to be canceled by now."""
    return [(tenant_id, job_id) for tenant_id, job_id in session.execute(_TO_CANCEL, {"limit": limit})]


_TO_CANCEL = text(
    "SELECT tenant_id, id FROM jobs WHERE cancel_at <= now() AND status IN ('queued', 'processing') LIMIT :limit"
)
