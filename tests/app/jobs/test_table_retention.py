"""Rows that no job's retention deletes: each kind goes after its span, and not before."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from app.access import audit
from app.db.database import Database
from app.db.models import (
    DEFAULT_TENANT,
    ApiKey,
    AuditEntry,
    Base,
    Job,
    JobStatus,
    SourceCall,
    TenantVolume,
    WebhookAttempt,
    WebhookDelivery,
)
from app.jobs import table_retention

DAY = timedelta(days=1)
Table = type[Base]
Delete = Callable[[Session, timedelta], int]


def at(age: timedelta) -> datetime:
    """The moment that long ago."""
    return datetime.now(UTC) - age


def version_7(session: Session, age: timedelta) -> uuid.UUID:
    """An id as Postgres made it that long ago."""
    made: uuid.UUID = session.scalars(select(func.uuidv7(-age))).one()
    return made


def add_tombstone(session: Session, age: timedelta) -> None:
    """A job that was deleted that long ago, with a record of what it cost."""
    deadline = at(age)
    job_id = session.scalars(
        insert(Job)
        .values(
            tenant_id=DEFAULT_TENANT,
            status=JobStatus.SUCCEEDED,
            stage=None,
            images_per_source=1,
            deadline_at=deadline,
            completed_at=deadline,
            deleted_at=deadline,
        )
        .returning(Job.id)
    ).one()
    add_call(session, timedelta(0), job_id)


def add_call(session: Session, age: timedelta, job_id: uuid.UUID | None = None) -> None:
    """The record of a call to a vendor."""
    columns: dict[str, Any] = {"k": 0, "number": 1, "images": 1, "external": True, "reserved_usd": 1, "source": "ant"}
    job_id, call_id = job_id or uuid.uuid4(), uuid.uuid4()
    session.execute(
        insert(SourceCall).values(id=call_id, tenant_id=DEFAULT_TENANT, job_id=job_id, created_at=at(age), **columns)
    )


def add_key(session: Session, age: timedelta) -> None:
    """A key that was revoked that long ago, one that expired then, and two that are valid."""
    for state in ({"revoked_at": at(age)}, {"expires_at": at(age)}, {}, {"expires_at": at(-DAY)}):
        columns = {"name": "x", "prefix": "x", "sha256": uuid.uuid4().hex, "scopes": []}
        session.execute(insert(ApiKey).values(tenant_id=DEFAULT_TENANT, **columns, **state))


def add_delivery(session: Session, age: timedelta) -> None:
    """A delivery that was made that long ago, with its attempt, and one that is still to be made."""
    for state, completed_at in (("delivered", at(age)), ("pending", None)):
        delivery_id = version_7(session, age)
        columns = {"url": "https://x", "type": "x", "sequence": 1, "payload": "{}"}
        session.execute(
            insert(WebhookDelivery).values(
                id=delivery_id, tenant_id=DEFAULT_TENANT, state=state, completed_at=completed_at, **columns
            )
        )
        session.execute(insert(WebhookAttempt).values(delivery_id=delivery_id, number=1, started_at=at(age), seconds=1))


def add_volume(session: Session, age: timedelta) -> None:
    """What a tenant submitted on a day that long ago."""
    day: date = at(age).date()
    session.execute(insert(TenantVolume).values(tenant_id=DEFAULT_TENANT, day=day, jobs=1, bytes=1))


def add_entry(session: Session, age: timedelta) -> None:
    """An entry of the audit log."""
    audit.record(session, DEFAULT_TENANT, "test", "made", str(age))
    session.execute(
        text("UPDATE audit_log SET id = uuidv7(-CAST(:age AS interval)) WHERE subject = :subject"),
        {"age": age, "subject": str(age)},
    )


@pytest.mark.parametrize(
    ("add", "delete", "table", "others"),
    [
        (add_entry, table_retention.delete_audit_entries, AuditEntry, 0),
        (add_tombstone, table_retention.delete_tombstones, Job, 0),
        (add_call, table_retention.delete_source_calls, SourceCall, 0),
        (add_key, table_retention.delete_unusable_keys, ApiKey, 2),
        (add_delivery, table_retention.delete_deliveries, WebhookDelivery, 1),
        (add_volume, table_retention.delete_volumes, TenantVolume, 0),
    ],
)
def test_old_rows_are_deleted_and_young_ones_stay(
    database: Database, add: Callable[[Session, timedelta], None], delete: Delete, table: Table, others: int
) -> None:
    """Of two ages, on either side of the span; what is in use (`others` of each age) stays whatever its age."""
    with database.transaction() as session:
        add(session, 41 * DAY)
        add(session, 39 * DAY)
    with database.transaction() as session:
        before = session.scalars(select(func.count()).select_from(table)).one()
        deleted = delete(session, 40 * DAY)
        assert deleted == before / 2 - others
        assert session.scalars(select(func.count()).select_from(table)).one() == before - deleted
        assert delete(session, 40 * DAY) == 0
        assert delete(session, 38 * DAY) == deleted


def test_calls_outlive_their_jobs_tombstone(database: Database) -> None:
    """What was sent to a vendor and what it cost is kept for a span of its own."""
    with database.transaction() as session:
        add_tombstone(session, 100 * DAY)
        assert table_retention.delete_tombstones(session, 90 * DAY) == 1
        assert session.scalars(select(func.count()).select_from(SourceCall)).one() == 1


def test_the_audit_log_keeps_thirty_days_whatever_is_asked_for(database: Database) -> None:
    """Postgres itself refuses: code that runs as the service cannot remove a fresh trace."""
    with database.transaction() as session:
        for days in (1, 29, 31):
            add_entry(session, days * DAY)
        assert table_retention.delete_audit_entries(session, timedelta(0)) == 1
        assert session.scalars(select(func.count()).select_from(AuditEntry)).one() == 2


def test_deleting_reads_what_is_old_only(database: Database) -> None:
    """The plans of the portions begin at an index, however many young rows there are."""
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO audit_log (actor, action, subject) SELECT 'x', 'x', 'x' FROM generate_series(1, 20000)")
        )
        session.execute(text("ANALYZE audit_log"))
        plan = "\n".join(
            session.scalars(
                text(
                    "EXPLAIN SELECT id FROM audit_log WHERE id < (SELECT uuidv7(-interval '40 days')) "
                    "ORDER BY id LIMIT 1000"
                )
            )
        )
        session.rollback()
    assert "Index" in plan
    assert "Seq Scan" not in plan
