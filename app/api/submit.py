"""POST /attribute: an image comes in, as a form, in JSON or by its address, and a job goes out."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from structlog.contextvars import bind_contextvars

from app.api.accepted import answer_accepted, replay
from app.api.dependencies import (
    Admitted,
    Decoders,
    Intake,
    Once,
    Settings,
    Uploads,
    Waiting,
    get_admitted,
    get_caller,
    get_submitter,
)
from app.api.lean import lean
from app.api.openapi import (
    ANSWER_HEADERS,
    CANCEL_AFTER,
    ENDED_IN_TIME,
    IDEMPOTENCY_KEY,
    LOCATION,
    PREFER,
    REPLAYED_HEADER,
    SUBMISSION,
    headers,
    problems,
)
from app.api.uploading import arriving, taking
from app.documents import JobDocument
from app.errors import (
    AddressRefused,
    ImageTooLargeProblem,
    InvalidRequest,
    KeyInUse,
    KeyReused,
    MalformedRequest,
    Overloaded,
    StorageUnavailable,
    UndecodableImageProblem,
    UnknownCaptioner,
    UnknownEmbedder,
    UnknownSourceProblem,
    UnsupportedImageProblem,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from app.intake import decoders as children
from app.intake.idempotent_requests import Terms
from app.intake.multipart import read_upload
from app.intake.request_body import JSON, body_limit, media_type, receive_json
from app.intake.submission import Submission, from_form, from_json, read_cancel_after, read_idempotency_key
from app.settings import IntakeSettings


async def _submit(request: Request) -> Response:
    state = request.state
    caller = await get_admitted(request, await get_submitter(await get_caller(request)))
    return await attribute_image(
        request, caller, state.settings, state.intake, state.decoders, state.once, state.uploads, state.waiting
    )


router = APIRouter(tags=["attribution"], route_class=lean(_submit))


@router.post(
    "/attribute",
    status_code=202,
    response_model=JobDocument,
    response_description="accepted: the job, queued",
    responses=headers(202, LOCATION | ANSWER_HEADERS | REPLAYED_HEADER)
    | ENDED_IN_TIME
    | problems(
        MalformedRequest,
        UploadTimeout,
        KeyInUse,
        UploadTooLarge,
        UnsupportedMediaType,
        UnsupportedImageProblem,
        UndecodableImageProblem,
        ImageTooLargeProblem,
        InvalidRequest,
        UnknownSourceProblem,
        UnknownCaptioner,
        UnknownEmbedder,
        AddressRefused,
        KeyReused,
        Overloaded,
        StorageUnavailable,
    ),
    openapi_extra={"parameters": [PREFER, CANCEL_AFTER, IDEMPOTENCY_KEY], "requestBody": SUBMISSION},
)
async def attribute_image(
    request: Request,
    caller: Admitted,
    settings: Settings,
    intake: Intake,
    decoders: Decoders,
    once: Once,
    uploads: Uploads,
    waiting: Waiting,
) -> Response:
    """Ask which source generated an image: a file in a form, base64 in JSON, or an address that a worker will fetch.

    What the content decodes as counts, not the file's name: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF, AVIF.
    With `Prefer: wait=n` the answer is a 200 with the job's end if that comes within n seconds, otherwise a 202.
    A file that was asked about in the same way before has its answer at once, unless `cache=false` is sent along.
    With an `Idempotency-Key` it is safe to send the same again: it makes one job, whatever was lost on the way.
    """
    terms = Terms(
        tenant_id=caller.tenant_id,
        endpoint="POST /attribute",
        key=read_idempotency_key(request.headers.getlist("idempotency-key")),
        cancel_after=read_cancel_after(request.headers.get("cancel-after")),
    )
    with taking(uploads, request.headers) as folder:
        submission = await _read(request, settings.intake, folder, decoders)
        accepted = await once.accept(terms, submission)
    if not isinstance(accepted, JobDocument):
        return await replay(request, waiting, caller.tenant_id, accepted)
    intake.enqueue([accepted])
    bind_contextvars(job_id=str(accepted.id))  # for the request's line in the log
    return await answer_accepted(request, waiting, caller.tenant_id, accepted)


async def _read(request: Request, settings: IntakeSettings, folder: Path, decoders: children.Decoders) -> Submission:
    if media_type(request.headers) != JSON:
        with arriving(settings.upload_timeout):
            upload = await read_upload(request.headers, request.receive, folder, settings)
        return from_form(upload)
    body = folder / "body"
    with arriving(settings.upload_timeout):
        await receive_json(request.headers, request.receive, body, body_limit(settings))
    return from_json(await decoders.unpack_json(body), settings)
