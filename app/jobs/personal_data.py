"""Clears the personal data of jobs. The statements are built from the marks in the mapper, see `app.db.models.base`."""

import uuid
from collections.abc import Iterator, Sequence
from functools import cache

from sqlalchemy import Table, TextClause, text
from sqlalchemy.orm import Session

from app.db.models import Base, Clearing, Job


def clear(session: Session, clearing: Clearing, job_ids: Sequence[uuid.UUID]) -> None:
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
