"""GET /attribute: the tenant's jobs, newest first, a page at a time.

A cursor is the place of the last job that was shown, so pages neither repeat nor skip one while new jobs come in.
"""

import base64
import hashlib
import struct
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field
from sqlalchemy import Row

from app.api.dependencies import Database, Reader
from app.api.openapi import LINK, headers, problems
from app.db.models import JobStatus, Stage
from app.documents import Document
from app.errors import InvalidRequest, StorageUnavailable
from app.jobs.listing import ListingFilter, Position, list_for_tenant
from attribution.ports import Reason, VerdictKind

router = APIRouter(tags=["attribution"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACE = struct.Struct(">q16s9s")  # microseconds since 1970, the job's id, a checksum


class VerdictSummary(Document):
    """The answer without its grounds."""

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
    """A page of jobs."""

    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one")


def _written_out(value: object) -> object:
    """A bare number would be taken for seconds since 1970."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]


@router.get(
    "/attribute",
    responses=headers(200, LINK) | problems(InvalidRequest, StorageUnavailable),
)
def list_attributions(
    request: Request,
    response: Response,
    caller: Reader,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=100, description="jobs on a page")] = 20,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
    status: Annotated[list[JobStatus], Query(description="any of these; repeatable")] = [],  # noqa: B006 - FastAPI copies it
    external_id: Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")] = None,
    created_after: Annotated[Moment | None, Query(description="exclusive, with its offset")] = None,
    created_before: Annotated[Moment | None, Query(description="exclusive, with its offset")] = None,
) -> JobsDocument:
    """List your jobs, newest first; deleted ones are not among them. `Link: rel="next"` is there if more follow."""
    wanted = ListingFilter(tuple(sorted(set(status))), external_id, created_after, created_before)
    after = None if cursor is None else _position(cursor, caller.tenant_id, wanted)
    with database.transaction(durable=False) as session:
        rows = list_for_tenant(session, caller.tenant_id, wanted, after, limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    next_cursor = _cursor(Position(rows[-1].created_at, rows[-1].id), caller.tenant_id, wanted) if more else None
    response.headers["Cache-Control"] = "private, no-store"
    if next_cursor is not None:
        given = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        response.headers["Link"] = f'</attribute?{urlencode([*given, ("cursor", next_cursor)])}>; rel="next"'
    return JobsDocument(jobs=[_summary(row) for row in rows], next_cursor=next_cursor)


def _summary(row: Row[Any]) -> JobSummary:
    return JobSummary(
        id=row.id,
        status=JobStatus(row.status),
        stage=Stage(row.stage) if row.stage else None,
        external_id=row.external_id,
        created_at=row.created_at,
        completed_at=row.completed_at,
        verdict=VerdictSummary.model_validate(row.verdict) if row.verdict else None,
    )


def _cursor(position: Position, tenant_id: uuid.UUID, wanted: ListingFilter) -> str:
    moment = (position.created_at - _EPOCH) // _MICROSECOND
    packed = _PLACE.pack(moment, position.id.bytes, _checksum(moment, position.id, tenant_id, wanted))
    return base64.urlsafe_b64encode(packed).decode()


def _position(cursor: str, tenant_id: uuid.UUID, wanted: ListingFilter) -> Position:
    """The inverse. Raises InvalidRequest for what is not a cursor of this listing."""
    try:
        moment, id_bytes, checksum = _PLACE.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, struct.error):
        raise _not_of_this_listing() from None
    job_id = uuid.UUID(bytes=id_bytes)
    if checksum != _checksum(moment, job_id, tenant_id, wanted):
        raise _not_of_this_listing()
    return Position(_EPOCH + moment * _MICROSECOND, job_id)


def _not_of_this_listing() -> InvalidRequest:
    detail = "This is no cursor of this listing with these filters; begin again without it."
    return InvalidRequest(detail, errors=[{"detail": detail, "parameter": "cursor"}])


def _checksum(moment: int, job_id: uuid.UUID, tenant_id: uuid.UUID, wanted: ListingFilter) -> bytes:
    """Ties a cursor to its listing, so that mixing them up is told. No secret: a place in one's own list needs none."""
    listing = repr((moment, job_id, tenant_id, wanted)).encode()
    return hashlib.sha256(listing).digest()[:9]
