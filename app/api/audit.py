"""GET /audit: who read or deleted what of the tenant's, and who changed its rules."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from app.access.audit import list_entries
from app.api.dependencies import Administrator, Database
from app.api.openapi import problems
from app.documents import Document
from app.errors import InvalidRequest, StorageUnavailable

router = APIRouter(tags=["audit"])


class AuditEntryDocument(Document):
    """Something that was done."""

    id: uuid.UUID
    at: datetime
    actor: str = Field(description="`key:` and the key's id, `operator`, or the part of the service that acted")
    action: str = Field(examples=["key.revoked"])
    subject: str = Field(description="the id of what it was done to")
    request_id: str | None
    detail: dict[str, Any]


class AuditDocument(Document):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryDocument]
    next_cursor: str | None = Field(description="give it as `cursor` for the page after this; null on the last one")


@router.get("/audit", responses=problems(InvalidRequest, StorageUnavailable))
def list_audit(
    caller: Administrator,
    database: Database,
    subject: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: uuid.UUID | None = None,
) -> AuditDocument:
    """List what was done, newest first; with `subject` only what was done to that job, key, endpoint or list."""
    with database.statement() as session:
        rows = list_entries(session, caller.tenant_id, subject, cursor, limit + 1)
    page = rows[:limit]
    return AuditDocument(
        entries=[
            AuditEntryDocument(**{field: getattr(row, field) for field in AuditEntryDocument.model_fields})
            for row in page
        ],
        next_cursor=str(page[-1].id) if len(rows) > limit else None,
    )
