"""POST /attribute: an image comes in, a job goes out."""

import tempfile
from pathlib import Path

from anyio import WouldBlock, fail_after
from fastapi import APIRouter, Request, Response

from app.api.dependencies import Intake, Settings, Spool, Submitter, Uploads
from app.api.openapi import LOCATION, RETRY_AFTER, UPLOAD_BODY, headers, problems
from app.documents import JobDocument
from app.errors import (
    ImageTooLarge,
    InvalidRequest,
    MalformedRequest,
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

router = APIRouter(tags=["attribution"])


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
    request: Request, caller: Submitter, settings: Settings, intake: Intake, uploads: Uploads, spool: Spool
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
        headers={"Location": f"/attribute/{job.id}", "Retry-After": "1"},
    )
