"""POST /attribute/{id}/references/{source}: uploads the reference images that a job waits for."""

import uuid
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.api.dependencies import Decoders, ReferenceSubmission, Settings, Uploader, UploadSlots
from app.api.openapi import IMAGE_UPLOAD, problems
from app.api.openapi_bodies import REFERENCE_IMAGES
from app.api.request_bodies import upload_slot, while_connected
from app.documents import JobDocument
from app.errors import (
    Deleted,
    NotFound,
    ReferencesConflict,
    ReferencesNotExpected,
    ReferencesTooEarly,
    ReferencesTooLate,
)
from app.intake import decoders as children
from app.intake.multipart import read_reference_form
from app.intake.reference_images import UploadedReference, references_from_json
from app.intake.request_body import JSON, body_limit, media_type, receive_json
from app.settings import IntakeSettings

router = APIRouter(tags=["attribution"])


@router.post(
    "/attribute/{job_id:uuid}/references/{source}",
    response_model=JobDocument,
    response_description="the job with these reference images, whether they are new or were uploaded before",
    responses=problems(
        *IMAGE_UPLOAD,
        NotFound,
        ReferencesNotExpected,
        ReferencesTooEarly,
        ReferencesTooLate,
        ReferencesConflict,
        Deleted,
    ),
    openapi_extra={"requestBody": REFERENCE_IMAGES},
)
async def add_references(
    job_id: uuid.UUID,
    source: str,
    request: Request,
    caller: Uploader,
    settings: Settings,
    reference_submission: ReferenceSubmission,
    decoders: Decoders,
    slots: UploadSlots,
) -> Response:
    """Upload the reference images of a source, generated from the job's caption: all of them, 1 to 16, in one request.

    They are screened like the query image, and a hit ends the job. When no source is awaited any more, the job
    continues at once. Repeating the request with the same images changes nothing.
    """
    await reference_submission.check_awaited(caller.tenant_id, job_id, source)
    with upload_slot(slots, caller.tenant_id, request.headers) as folder:
        uploaded = await _read(request, caller.tenant_id, settings.intake, folder, decoders)
        async with while_connected(request):
            document = await reference_submission.accept(caller.tenant_id, job_id, replace(uploaded, source=source))
    return Response(document.model_dump_json(), media_type=JSON)


async def _read(
    request: Request, tenant_id: uuid.UUID, limits: IntakeSettings, folder: Path, decoders: children.Decoders
) -> UploadedReference:
    if media_type(request.headers) != JSON:
        return await read_reference_form(request.headers, request.receive, folder, limits)
    body = folder / "body"
    await receive_json(request.headers, request.receive, body, body_limit(limits), limits)
    async with while_connected(request):
        value = await decoders.unpack_json(tenant_id, body)
    return references_from_json(value, limits)
