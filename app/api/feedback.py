"""/attribute/{id}/feedback: the true source of the image, if it becomes known. For evaluation only."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints, ValidationError

from app.api.dependencies import Catalog, Database, Reader, Submitter
from app.api.openapi import DOCUMENT, problems
from app.document_base import Document
from app.errors import Deleted, NotFound, UploadTooLarge
from app.intake.request_body import receive_body
from app.jobs import feedback_repository
from app.jobs.repository import get_existing_job

router = APIRouter(tags=["attribution"])

_MAX_BYTES = 32_768
_ONE_LINE = r"^[^\x00-\x1f\x7f]*$"


class NewFeedback(Document):
    """The true source of the image."""

    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] = Field(
        pattern=_ONE_LINE,
        description="an id of the catalog, or your own name for a source that is not in it",
        examples=["zoo-unet", "a photograph"],
    )
    note: str | None = Field(None, max_length=2_000, pattern=r"^[^\x00]*$", description="how it became known")


class FeedbackDocument(Document):
    """The latest feedback."""

    source: str
    in_catalog: bool = Field(description="whether the catalog has a source of this id")
    note: str | None
    created_at: datetime


_BODY = {"required": True, "content": {"application/json": {"schema": NewFeedback.model_json_schema()}}}


async def read_feedback(request: Request) -> NewFeedback:
    """The body. Raises UploadTooLarge, MalformedRequest and RequestValidationError."""
    body = bytearray()
    refusal = UploadTooLarge(f"Feedback may have at most {_MAX_BYTES:,} bytes.", max_bytes=_MAX_BYTES)
    await receive_body(
        request.headers, request.receive, _MAX_BYTES, refusal, body.extend, request.state.settings.intake
    )
    try:
        return NewFeedback.model_validate_json(bytes(body))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from error


FeedbackBody = Annotated[NewFeedback, Depends(read_feedback)]


@router.post(
    "/attribute/{job_id:uuid}/feedback",
    responses=problems(*DOCUMENT, NotFound, Deleted),
    openapi_extra={"requestBody": _BODY},
)
def give_feedback(
    job_id: uuid.UUID, feedback: FeedbackBody, caller: Submitter, database: Database, catalog: Catalog
) -> FeedbackDocument:
    """Report the true source of the image, at any time; the latest feedback counts.

    It is stored with the job, for measuring accuracy, and changes no result.
    """
    in_catalog = any(source.id == feedback.source for source in catalog.sources)
    with database.transaction() as session:
        get_existing_job(session, caller.tenant_id, job_id, keep=True)
        return FeedbackDocument.model_validate(
            feedback_repository.upsert(session, caller.tenant_id, job_id, feedback.source, in_catalog, feedback.note)
        )


@router.get("/attribute/{job_id:uuid}/feedback", responses=problems(NotFound, Deleted))
def get_feedback(job_id: uuid.UUID, caller: Reader, database: Database) -> FeedbackDocument:
    """Get the latest feedback; 404 where there is none."""
    with database.transaction(durable=False) as session:
        get_existing_job(session, caller.tenant_id, job_id)
        found = feedback_repository.get_by_job(session, caller.tenant_id, job_id)
        if found is None:
            raise NotFound(f"Job {job_id} has no feedback.")
        return FeedbackDocument.model_validate(found)
