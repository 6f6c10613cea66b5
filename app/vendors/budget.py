"""SQL of vendor calls: what a call may cost is reserved from the job's budget before it, and settled after it.

A reservation and its sum on the job are one statement, and the job's row lock makes the sum exact however many threads
reserve at once. A process that dies in between leaves a call that is not settled: it keeps counting as spent.
"""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from app.db.models import PROMPT, Job, SourceCall, SourceSpend, Stage
from attribution.ports import SourceState


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call to be made: for which images, and what it may cost; the job must be at `stage`."""

    id: uuid.UUID
    job_id: uuid.UUID
    source: str
    k: int
    images: int
    external: bool
    usd: Decimal
    sent: str = PROMPT
    stage: Stage = Stage.RESYNTHESIZING


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """Why no call may be made: what is left of the budget, or None where the job has left that stage."""

    left: Decimal | None
    budget: Decimal | None = None


def reserve(session: Session, order: CallOrder) -> BudgetRefusal | None:
    """Reserves what the call may cost from the job's budget and records the call; None where that succeeded.

    To be committed durably before anything is ordered.
    """
    if session.execute(_RESERVE, asdict(order)).one_or_none() is not None:
        return None
    found = session.execute(_LEFT, {"job_id": order.job_id, "stage": order.stage}).one_or_none()
    return BudgetRefusal(None) if found is None else BudgetRefusal(found.left, found.budget_usd)


_AT_IT = "status = 'processing' AND stage = :stage"
_RESERVE = text(
    f"""
    WITH job AS (
        UPDATE jobs SET spent_usd = spent_usd + :usd, calls = calls + 1
        WHERE id = :job_id AND {_AT_IT} AND (budget_usd IS NULL OR spent_usd + :usd <= budget_usd)
        RETURNING id, tenant_id
    )
    INSERT INTO source_calls (id, tenant_id, job_id, source, k, number, images, external, sent, reserved_usd)
    SELECT :id, tenant_id, id, :source, :k, 1 + (
               SELECT count(*) FROM source_calls WHERE job_id = :job_id AND source = :source AND k = :k
           ), :images, :external, :sent, :usd
    FROM job
    RETURNING number
    """  # noqa: S608 - our own words
)
_LEFT = text(f"SELECT budget_usd - spent_usd AS left, budget_usd FROM jobs WHERE id = :job_id AND {_AT_IT}")  # noqa: S608


def set_vendor_task(session: Session, call_id: uuid.UUID, task: str) -> None:
    """Stores the vendor's handle of a call, so that a later attempt polls it."""
    session.execute(_NAME, {"id": call_id, "task": task})


_NAME = text("UPDATE source_calls SET vendor_task = :task WHERE id = :id AND settled_at IS NULL")


def settle(session: Session, call_id: uuid.UUID, outcome: SourceState, usd: Decimal) -> bool:
    """Replaces a call's reservation by its cost; False where that was done before."""
    given = {"id": call_id, "outcome": outcome.value, "usd": usd}
    return session.execute(_SETTLE, given).one_or_none() is not None


_SETTLE = text(
    """
    WITH call AS (
        UPDATE source_calls SET settled_usd = :usd, outcome = :outcome, settled_at = clock_timestamp()
        WHERE id = :id AND settled_at IS NULL
        RETURNING job_id, settled_usd - reserved_usd AS change
    )
    UPDATE jobs SET spent_usd = spent_usd + change FROM call WHERE jobs.id = call.job_id
    RETURNING jobs.id
    """
)


def list_for_source(session: Session, job_id: uuid.UUID, source: str) -> Sequence[SourceCall]:
    """The calls that earlier attempts made of a source for a job, oldest first."""
    return session.scalars(_OF_SOURCE, {"job_id": job_id, "source": source}).all()


_OF_SOURCE = (
    select(SourceCall)
    .where(SourceCall.job_id == bindparam("job_id"), SourceCall.source == bindparam("source"))
    .order_by(SourceCall.created_at)
)


def sum_by_source(session: Session, job: Job) -> Sequence[SourceSpend]:
    """What a job's calls were, by source; no statement where there were none."""
    if not job.calls:
        return ()
    return [SourceSpend(**row) for row in session.execute(_SPENT, {"job_id": job.id}).mappings()]


_SPENT = text(
    """
    SELECT source, sent, external, count(*) AS calls, sum(images) AS images,
           sum(coalesce(settled_usd, reserved_usd)) AS usd, count(*) FILTER (WHERE settled_at IS NULL) AS unsettled
    FROM source_calls WHERE job_id = :job_id GROUP BY source, sent, external ORDER BY source, sent
    """
)
