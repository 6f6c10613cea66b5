"""POST an image, GET its job: the two endpoints most callers need."""

import re
import tempfile
import uuid
from pathlib import Path

from anyio import WouldBlock, fail_after
from fastapi import APIRouter, Request, Response

from app.api.dependencies import Caller, Database, Intake, Settings, Snapshots, Spool, Uploads
from app.api.openapi import LOCATION, RETRY_AFTER, UPLOAD_BODY, headers, problems
from app.documents import JobDocument, job_document
from app.errors import (
    ImageTooLarge,
    InvalidRequest,
    MalformedRequest,
    NotFound,
    Overloaded,
    StorageUnavailable,
    UndecodableImage,
    UnknownSource,
    UnsupportedImage,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from app.intake.options import read_options
from app.intake.upload import read_upload
from app.store.jobs import find, sources_of

router = APIRouter(tags=["attribution"])

# A snapshot starts with the document's first two members; whether to poll again is read off them, nothing is parsed.
_UNFINISHED = re.compile(rb'\{"id":"[^"]*","status":"(?:queued|processing)"')
_POLL_AGAIN = {"Retry-After": "1"}


@router.post(
    "/attribute",
    status_code=202,
    response_model=JobDocument,
    response_description="accepted: the job, queued",
    responses=headers(202, LOCATION | RETRY_AFTER)
    | problems(
        MalformedRequest,
        UploadTimeout,
        UploadTooLarge,
        UnsupportedMediaType,
        UnsupportedImage,
        UndecodableImage,
        ImageTooLarge,
        InvalidRequest,
        UnknownSource,
        Overloaded,
        StorageUnavailable,
    ),
    openapi_extra={"requestBody": UPLOAD_BODY},
)
async def attribute_image(
    request: Request, caller: Caller, settings: Settings, intake: Intake, uploads: Uploads, spool: Spool
) -> Response:
    """Ask which source drew an image.

    What the content decodes as counts, not the file's name: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF, AVIF.
    """
    try:
        uploads.acquire_nowait()
    except WouldBlock:
        raise Overloaded(
            "Too many uploads are being read just now; try again in a few seconds.", headers={"Retry-After": "2"}
        ) from None
    try:
        with tempfile.TemporaryDirectory(dir=spool) as folder:
            try:
                with fail_after(settings.intake.upload_timeout.total_seconds()):
                    upload = await read_upload(
                        request.headers, request.receive, Path(folder) / "upload", settings.intake.max_bytes
                    )
            except TimeoutError as error:
                raise UploadTimeout("The body took too long to arrive.") from error
            job = await intake.accept(caller.tenant_id, upload.path, read_options(upload.fields))
    finally:
        uploads.release()
    return Response(
        job.model_dump_json(),
        status_code=202,
        media_type="application/json",
        headers=_POLL_AGAIN | {"Location": f"/attribute/{job.id}"},
    )


@router.get(
    "/attribute/{job_id}",
    response_model=JobDocument,
    response_description="the job as it stands",
    responses=headers(200, RETRY_AFTER) | problems(NotFound, InvalidRequest, StorageUnavailable),
)
def get_attribution(job_id: uuid.UUID, caller: Caller, snapshots: Snapshots, database: Database) -> Response:
    """Poll a job; `Retry-After` is there as long as it has not ended. An id that is not a UUID is a 422."""
    document = snapshots.read(caller.tenant_id, job_id)
    if document is None:
        with database.transaction(durable=False) as session:
            job = find(session, caller.tenant_id, job_id)
            if job is None:
                raise NotFound(f"There is no job {job_id}.")
            found = job_document(job, sources_of(session, job_id))
        document = snapshots.fill(caller.tenant_id, found)
    again = _POLL_AGAIN if _UNFINISHED.match(document) else None
    return Response(document, media_type="application/json", headers=again)
