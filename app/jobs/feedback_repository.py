"""SQL of feedback: the true sources of images. Kept for evaluation; nothing learns from it."""

import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db.models import Feedback, Job

_AT_ONCE = 500


def upsert(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, in_catalog: bool, note: str | None
) -> Feedback:
    """Records the true source of a job's image, in place of an earlier record."""
    values = {"source": source, "in_catalog": in_catalog, "note": note, "created_at": func.now()}
    statement = insert(Feedback).values(job_id=job_id, tenant_id=tenant_id, **values)
    return session.scalars(
        statement.on_conflict_do_update(index_elements=[Feedback.job_id], set_=values).returning(Feedback),
        execution_options={"populate_existing": True},
    ).one()


def get_by_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Feedback | None:
    """The feedback on a job."""
    return session.scalars(_GIVEN, {"job_id": job_id, "tenant_id": tenant_id}).one_or_none()


_GIVEN = select(Feedback).where(Feedback.job_id == bindparam("job_id"), Feedback.tenant_id == bindparam("tenant_id"))


def list_with_results(session: Session) -> Iterator[tuple[Feedback, dict[str, Any] | None]]:
    """All feedback on jobs that have a result, with that result, in the order of the jobs' ids."""
    statement = (
        select(Feedback, Job.result)
        .join(Job, Job.id == Feedback.job_id)
        .where(Job.result.is_not(None))
        .order_by(Feedback.job_id)
    )
    yield from session.execute(statement.execution_options(yield_per=_AT_ONCE))
