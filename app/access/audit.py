"""Writes and reads the audit log: who read or deleted what, and who changed the rules. It holds ids, never content.

Entries are made for reading the images of a job, deleting, and everything an administrator or operator does.
Polling a job makes none: there would be too many, and the log of requests has them.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.db.models import AuditEntry


def record(
    session: Session,
    tenant_id: uuid.UUID | None,
    actor: str,
    action: str,
    subject: str,
    request_id: str | None = None,
    **detail: Any,
) -> None:
    """Adds an entry in the caller's transaction, so that what was done and that it was done are committed together."""
    session.execute(
        insert(AuditEntry).values(
            tenant_id=tenant_id, actor=actor, action=action, subject=subject, request_id=request_id, detail=detail
        )
    )


def list_entries(
    session: Session, tenant_id: uuid.UUID | None, subject: str | None, before: uuid.UUID | None, limit: int
) -> Sequence[AuditEntry]:
    """A tenant's entries, or those of all tenants for None, newest first, from the one before `before` on."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if tenant_id is not None:
        statement = statement.where(AuditEntry.tenant_id == tenant_id)
    if subject is not None:
        statement = statement.where(AuditEntry.subject == subject)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    return session.scalars(statement).all()
