"""Writes and reads the audit log: who read or erased what, and who changed the configuration. Ids only, no content.

Recorded are reading the images of a job, erasing, and every change by an administrator or operator. Polling is not: the
log of requests has it.
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


def entries(
    session: Session, tenant_id: uuid.UUID | None, subject: str | None, before: uuid.UUID | None, limit: int
) -> Sequence[AuditEntry]:
    """Entries newest first, from the one before `before` on: of one tenant, or of all where it is None."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if tenant_id is not None:
        statement = statement.where(AuditEntry.tenant_id == tenant_id)
    if subject is not None:
        statement = statement.where(AuditEntry.subject == subject)
    if before is not None:
        statement = statement.where(AuditEntry.id < before)
    return session.scalars(statement).all()
