"""Reads many jobs: a tenant's list of them, page by page, and which of some have ended.

Each listing is answered from an index that ends in its order, so that a page costs the same at any length of it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, literal, literal_column, select, tuple_, union_all
from sqlalchemy.orm import Session

from app.db.models import ENDED, Job, JobStatus


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a listing: that of one job."""

    created_at: datetime
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class ListingFilter:
    """Which of a tenant's jobs to list; what is not given does not matter. Times are exclusive."""

    statuses: Sequence[JobStatus] = ()
    external_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def list_for_tenant(
    session: Session, tenant_id: uuid.UUID, wanted: ListingFilter, after: Position | None, limit: int
) -> Sequence[Row[Any]]:
    """At most `limit` jobs, newest first, from behind a position on: what a summary needs of them. No tombstones."""
    every = _jobs(tenant_id, wanted, after)
    if not wanted.statuses:
        return session.execute(every.order_by(*_NEWEST_FIRST).limit(limit)).all()
    # One index scan per status, each in order: for several statuses in one scan Postgres would sort all rows.
    parts = [
        select(every.where(Job.status == _literal(status)).order_by(*_NEWEST_FIRST).limit(limit).subquery())
        for status in wanted.statuses
    ]
    merged = union_all(*parts).subquery()
    return session.execute(select(merged).order_by(merged.c.created_at.desc(), merged.c.id.desc()).limit(limit)).all()


_NEWEST_FIRST = (Job.created_at.desc(), Job.id.desc())


def _literal(status: JobStatus) -> ColumnElement[str]:
    """Not a parameter: which of the partial indexes serves it must be plain from the statement."""
    return literal_column(f"'{status.value}'")


def _jobs(tenant_id: uuid.UUID, wanted: ListingFilter, after: Position | None) -> Select[Any]:
    conditions = [Job.tenant_id == tenant_id, Job.deleted_at.is_(None)]
    if wanted.external_id is not None:
        conditions.append(Job.external_id == wanted.external_id)
    if wanted.created_after is not None:
        conditions.append(Job.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(Job.created_at < wanted.created_before)
    if after is not None:
        conditions.append(tuple_(Job.created_at, Job.id) < tuple_(literal(after.created_at), literal(after.id)))
    return select(
        Job.id,
        Job.status,
        Job.stage,
        Job.external_id,
        Job.created_at,
        Job.completed_at,
        Job.result["verdict"].label("verdict"),
    ).where(*conditions)


def list_ended_among(session: Session, job_ids: Sequence[uuid.UUID]) -> Sequence[uuid.UUID]:
    """Those that have ended or are gone, of any tenant."""
    wanted = select(func.unnest(list(job_ids)).label("id")).subquery()
    statement = (
        select(wanted.c.id).outerjoin(Job, Job.id == wanted.c.id).where(Job.id.is_(None) | Job.status.in_(ENDED))
    )
    return session.scalars(statement).all()
