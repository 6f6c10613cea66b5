"""Writes the audit log: who read or erased what, and who changed the rules. Ids only, never what was in it."""

import uuid
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.store.models import AuditEntry


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
