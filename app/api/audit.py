"""GET /audit: who read or deleted the tenant's data, and who changed its configuration."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from app.access.audit import list_entries
from app.api.dependencies import Administrator, Database
from app.api.openapi import problems
from app.api.pages import Cursor, Limit, Listing, NextCursor
from app.document_base import Document
from app.errors import InvalidRequest

router = APIRouter(tags=["audit"])


class AuditEntryDocument(Document):
    """One action."""

    id: uuid.UUID
    at: datetime
    actor: str = Field(description="`key:` and the key's id, `operator`, or a component of the service")
    action: str = Field(examples=["key.revoked"])
    subject: str = Field(description="the id of the object of the action")
    request_id: str | None
    detail: dict[str, Any]


class AuditDocument(Document):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryDocument]
    next_cursor: NextCursor


@router.get("/audit", responses=problems(InvalidRequest))
def list_audit(
    caller: Administrator,
    database: Database,
    subject: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> AuditDocument:
    """List the actions, newest first; with `subject` only those on that job, key, endpoint or list."""
    listing = Listing("audit", caller.tenant_id, (subject,))
    with database.statement() as session:
        rows = list_entries(session, caller.tenant_id, subject, listing.after_id(cursor), limit + 1)
    page, next_cursor = listing.page(rows, limit)
    return AuditDocument(
        entries=[AuditEntryDocument.model_validate(row) for row in page],
        next_cursor=next_cursor,
    )
