"""GET /attribute: the tenant's jobs, newest first, a page at a time."""

import uuid
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator, ConfigDict

from app.api.dependencies import Database, Reader
from app.api.openapi import LINK, headers, problems
from app.api.pages import Cursor, Limit, Listing, NextCursor
from app.db.models import JobStatus, Stage
from app.document_base import Document
from app.errors import InvalidRequest
from app.jobs.listing import ListingFilter, list_for_tenant
from attribution.ports import Reason, VerdictKind

router = APIRouter(tags=["attribution"])


class VerdictSummary(Document):
    """The verdict without its threshold."""

    model_config = ConfigDict(extra="ignore")

    kind: VerdictKind
    source: str | None
    reason: Reason | None


class JobSummary(Document):
    """A job in a listing; GET /attribute/{id} has the rest."""

    id: uuid.UUID
    status: JobStatus
    stage: Stage | None
    external_id: str | None
    created_at: datetime
    completed_at: datetime | None
    verdict: VerdictSummary | None


class JobsDocument(Document):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    next_cursor: NextCursor


def _refuse_bare_number(value: object) -> object:
    """Pydantic would take it for seconds since 1970."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_refuse_bare_number)]


@router.get(
    "/attribute",
    responses=headers(200, LINK) | problems(InvalidRequest),
)
def list_attributions(
    request: Request,
    response: Response,
    caller: Reader,
    database: Database,
    limit: Limit = 20,
    cursor: Cursor = None,
    status: Annotated[list[JobStatus], Query(description="any of these; repeatable")] = [],  # noqa: B006 - FastAPI copies it
    external_id: Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")] = None,
    created_after: Annotated[Moment | None, Query(description="exclusive, with its offset")] = None,
    created_before: Annotated[Moment | None, Query(description="exclusive, with its offset")] = None,
) -> JobsDocument:
    """List your jobs, newest first, without deleted ones. `Link: rel="next"` is present if more follow."""
    wanted = ListingFilter(tuple(sorted(set(status))), external_id, created_after, created_before)
    listing = Listing("jobs", caller.tenant_id, (wanted,))
    after = listing.after(cursor)
    with database.transaction(durable=False) as session:
        rows = list_for_tenant(session, caller.tenant_id, wanted, after, limit + 1)
    rows, next_cursor = listing.page(rows, limit)
    response.headers["Cache-Control"] = "private, no-store"
    if next_cursor is not None:
        given = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        response.headers["Link"] = f'</attribute?{urlencode([*given, ("cursor", next_cursor)])}>; rel="next"'
    return JobsDocument(jobs=[JobSummary.model_validate(row) for row in rows], next_cursor=next_cursor)
