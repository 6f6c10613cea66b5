"""SQL of retention: which ended jobs have kept their data for long enough, and the clearing of personal data.

Each tenant has its own retention, or the installation's. Every function works on a bounded number of rows, and leaves
out those that another process has locked.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache

from sqlalchemy import Table, TextClause, text
from sqlalchemy.orm import Session

from app.db.models import Base, Clearing, Job


def clear_personal_data(session: Session, clearing: Clearing, job_ids: Sequence[uuid.UUID]) -> None:
    """Clears what the jobs' rows, and the rows that belong to them, hold for this reason. Blobs are not touched."""
    if job_ids:
        for statement in _statements(clearing):
            session.execute(statement, {"job_ids": list(job_ids)})


@cache
def _statements(clearing: Clearing) -> tuple[TextClause, ...]:
    # Jobs come first: every other part of the service locks a job before the rows that belong to it.
    tables = sorted(Base.metadata.sorted_tables, key=lambda table: table is not Job.__table__)
    return tuple(text(statement) for table in tables for statement in _of_table(table, clearing))


def _of_table(table: Table, clearing: Clearing) -> Iterator[str]:
    job = "id" if table is Job.__table__ else "job_id"
    if clearing is Clearing.DELETION and table.info.get("deleted_with_job"):
        yield f"DELETE FROM {table.name} WHERE {job} = ANY(:job_ids)"  # noqa: S608 - our own words
        return
    marks = {column.name: column.info.get("personal", {}).get(clearing) for column in table.columns}
    values = {name: value for name, value in marks.items() if value is not None}
    if values:
        sets = ", ".join(f"{name} = {value}" for name, value in values.items())
        changed = " OR ".join(f"{name} IS DISTINCT FROM {value}" for name, value in values.items())
        yield f"UPDATE {table.name} SET {sets} WHERE {job} = ANY(:job_ids) AND ({changed})"  # noqa: S608 - our own words


BATCH = 200
JobRef = tuple[uuid.UUID, uuid.UUID]  # tenant, job


def lock_expired_images(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs whose images are to be deleted, oldest first, for tenants without a span of their own after `span`."""
    return _lock(session, _IMAGES, span)


def lock_expired_captions(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs whose captions are to be deleted, as `lock_expired_images`."""
    return _lock(session, _CAPTIONS, span)


def lock_expired_results(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs that are to be deleted whole, as `lock_expired_images`."""
    return _lock(session, _RESULTS, span)


def _lock(session: Session, statement: TextClause, span: timedelta) -> Sequence[JobRef]:
    return [(tenant_id, job_id) for tenant_id, job_id in session.execute(statement, {"span": span})]


def _expired(span: str, deleted: str) -> TextClause:
    """Per tenant a walk along an index, however many jobs other tenants have."""
    return text(
        f"""
        SELECT t.id AS tenant_id, j.id FROM tenants t CROSS JOIN LATERAL (
            SELECT id FROM jobs
            WHERE tenant_id = t.id AND completed_at IS NOT NULL AND {deleted} IS NULL
                  AND completed_at < now() - coalesce(t.{span}, :span)
            ORDER BY completed_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED
        ) j
        """  # noqa: S608 - our own words
    )


_IMAGES = _expired("retain_images", "images_deleted_at")
_CAPTIONS = _expired("retain_captions", "captions_deleted_at")
_RESULTS = _expired("retain_results", "deleted_at")
