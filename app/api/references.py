"""POST /attribute/{id}/references/{source}: generated images of a source that a job waits for, once somebody has made them."""

import uuid
from dataclasses import replace
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.api.dependencies import Bringing, Decoders, Settings, Submitter, Uploads
from app.api.openapi import GENERATED_IMAGES, problems
from app.api.uploading import arriving, taking
from app.documents import JobDocument
from app.errors import (
    Deleted,
    ImageTooLargeProblem,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    Overloaded,
    ReferencesConflict,
    ReferencesNotExpected,
    ReferencesTooEarly,
    ReferencesTooLate,
    StorageUnavailable,
    UndecodableImageProblem,
    UnsupportedImageProblem,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
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
    response_description="the job with these generated images, whether they are new or were brought before",
    responses=problems(
        MalformedRequest,
        NotFound,
        UploadTimeout,
        ReferencesNotExpected,
        ReferencesTooEarly,
        ReferencesTooLate,
        ReferencesConflict,
        Deleted,
        UploadTooLarge,
        UnsupportedMediaType,
        UnsupportedImageProblem,
        UndecodableImageProblem,
        ImageTooLargeProblem,
        InvalidRequest,
        Overloaded,
        StorageUnavailable,
    ),
    openapi_extra={"requestBody": GENERATED_IMAGES},
)
async def add_references(
    job_id: uuid.UUID,
    source: str,
    request: Request,
    caller: Submitter,
    settings: Settings,
    bringing: Bringing,
    decoders: Decoders,
    uploads: Uploads,
) -> Response:
    """Bring a source's generated images of the job's caption: all of them, 1 to 16, in one request.

    The job goes on with them at once, and without waiting any longer once no source is left to wait for. Doing so
    again with the same generated images changes nothing. They are screened as the image in question was, and a hit ends the
    job.
    """
    await bringing.check_awaited(caller.tenant_id, job_id, source)
    with taking(uploads, request.headers) as folder:
        brought = await _read(request, settings.intake, folder, decoders)
        document = await bringing.accept(caller.tenant_id, job_id, replace(brought, source=source))
    return Response(document.model_dump_json(), media_type=JSON)


async def _read(
    request: Request, limits: IntakeSettings, folder: Path, decoders: children.Decoders
) -> UploadedReference:
    if media_type(request.headers) != JSON:
        with arriving(limits.upload_timeout):
            return await read_reference_form(request.headers, request.receive, folder, limits)
    body = folder / "body"
    with arriving(limits.upload_timeout):
        await receive_json(request.headers, request.receive, body, body_limit(limits))
    return references_from_json(await decoders.unpack_json(body), limits)
