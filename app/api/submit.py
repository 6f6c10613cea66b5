"""POST /attribute: an image comes in, a job goes out."""

import tempfile
from pathlib import Path

from anyio import WouldBlock, fail_after
from fastapi import APIRouter, Request, Response

from app.api.accepted import answer_accepted
from app.api.dependencies import Intake, Settings, Spool, Submitter, Uploads, Waiting
from app.api.openapi import ANSWER_HEADERS, ENDED_IN_TIME, LOCATION, PREFER, UPLOAD_BODY, headers, problems
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
    responses=headers(202, LOCATION | ANSWER_HEADERS)
    | ENDED_IN_TIME
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
    openapi_extra={"parameters": [PREFER], "requestBody": UPLOAD_BODY},
)
async def attribute_image(
    request: Request,
    caller: Submitter,
    settings: Settings,
    intake: Intake,
    uploads: Uploads,
    spool: Spool,
    waiting: Waiting,
) -> Response:
    """Ask which source drew an image.

    What the content decodes as counts, not the file's name: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF, AVIF.
    With `Prefer: wait=n` the answer is a 200 with the job's end if that comes within n seconds, otherwise a 202.
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
    return await answer_accepted(request, waiting, caller.tenant_id, job)
