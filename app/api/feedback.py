"""/attribute/{id}/feedback: what the image turned out to be, should that become known. For evaluation only."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints, ValidationError

from app.api.dependencies import Catalog, Database, Reader, Submitter
from app.api.openapi import problems
from app.db.models import Feedback
from app.documents import Document
from app.errors import Deleted, InvalidRequest, MalformedRequest, NotFound, StorageUnavailable, UploadTooLarge
from app.intake.request_body import receive_body
from app.jobs import feedback_repository
from app.jobs.repository import get_existing_job

router = APIRouter(tags=["attribution"])

_MAX_BYTES = 32_768
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"


class NewFeedback(Document):
    """The true source, as far as it became known."""

    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] = Field(
        pattern=_ONE_LINE,
        description="an id of the catalog, or your own name for a source that is not in it",
        examples=["zoo-unet", "a photograph"],
    )
    note: str | None = Field(None, max_length=2_000, pattern=r"^[^\x00]*$", description="how that became known")


class FeedbackDocument(Document):
    """What was said last."""

    source: str
    in_catalog: bool = Field(description="whether the catalog has a source of this id")
    note: str | None
    created_at: datetime


_BODY = {"required": True, "content": {"application/json": {"schema": NewFeedback.model_json_schema()}}}


async def read_feedback(request: Request) -> NewFeedback:
    """The body. Raises UploadTooLarge, MalformedRequest and RequestValidationError."""
    body = bytearray()
    refusal = UploadTooLarge(f"Feedback takes at most {_MAX_BYTES:,} bytes.", max_bytes=_MAX_BYTES)
    await receive_body(request.headers, request.receive, _MAX_BYTES, refusal, body.extend)
    try:
        return NewFeedback.model_validate_json(bytes(body))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from error


Told = Annotated[NewFeedback, Depends(read_feedback)]


@router.post(
    "/attribute/{job_id:uuid}/feedback",
    responses=problems(MalformedRequest, NotFound, Deleted, UploadTooLarge, InvalidRequest, StorageUnavailable),
    openapi_extra={"requestBody": _BODY},
)
def give_feedback(
    job_id: uuid.UUID, told: Told, caller: Submitter, database: Database, catalog: Catalog
) -> FeedbackDocument:
    """Tell which source the image really came from, at any time; what is told last counts.

    It is kept beside the job to measure attribution by, and changes no answer.
    """
    in_catalog = any(source.id == told.source for source in catalog.sources)
    with database.transaction() as session:
        get_existing_job(session, caller.tenant_id, job_id, keep=True)
        return _document(
            feedback_repository.upsert(session, caller.tenant_id, job_id, told.source, in_catalog, told.note)
        )


@router.get("/attribute/{job_id:uuid}/feedback", responses=problems(NotFound, Deleted, StorageUnavailable))
def get_feedback(job_id: uuid.UUID, caller: Reader, database: Database) -> FeedbackDocument:
    """Read what was told last; a 404 where nothing was."""
    with database.transaction(durable=False) as session:
        get_existing_job(session, caller.tenant_id, job_id)
        found = feedback_repository.get_by_job(session, caller.tenant_id, job_id)
        if found is None:
            raise NotFound(f"Nothing was told about job {job_id} yet.")
        return _document(found)


def _document(row: Feedback) -> FeedbackDocument:
    return FeedbackDocument(source=row.source, in_catalog=row.in_catalog, note=row.note, created_at=row.created_at)
