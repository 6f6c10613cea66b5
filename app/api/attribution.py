"""POST /attribute: an image as a form, in JSON or by its address becomes a job. GET, cancel and DELETE that job."""

import uuid
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import Match, Route
from starlette.types import Scope as AsgiScope
from structlog.contextvars import bind_contextvars

from app.access.identity import Identity, Scope
from app.api.dependencies import (
    Admitted,
    Blobs,
    Broker,
    Database,
    Decoders,
    IdempotentRequests,
    Intake,
    LongPolling,
    Reader,
    Settings,
    Snapshots,
    Submitter,
    UploadSlots,
    Volumes,
)
from app.api.job_responses import job_response
from app.api.long_polling import read_preferences
from app.api.openapi import (
    ANSWER_HEADERS,
    CANCEL_AFTER,
    ENDED_IN_TIME,
    IDEMPOTENCY_KEY,
    IMAGE_UPLOAD,
    LOCATION,
    NOT_MODIFIED,
    PREFER,
    REPLAYED_HEADER,
    headers,
    problems,
)
from app.api.openapi_bodies import SUBMISSION
from app.api.request_bodies import upload_slot, while_connected
from app.documents import JobDocument, job_document
from app.errors import (
    AddressRefused,
    Deleted,
    KeyInUse,
    KeyReused,
    NotFound,
    ServiceError,
    UnknownCaptioner,
    UnknownEmbedder,
    UnknownSourceProblem,
)
from app.intake import decoders as children
from app.intake.idempotent_requests import Terms
from app.intake.multipart import read_upload
from app.intake.request_body import JSON, body_limit, media_type, receive_json
from app.intake.submission import Submission, from_form, from_json
from app.jobs import repository, service, source_repository
from app.jobs.deletion import delete_job
from app.jobs.snapshots import is_unfinished
from app.queue.steps import notify_step
from app.settings import IntakeSettings
from app.vendors.budget import sum_by_source

router = APIRouter(tags=["attribution"])

_JOB_PATH = "/attribute/{job_id:uuid}"


@router.post(
    "/attribute",
    status_code=202,
    response_model=JobDocument,
    response_description="accepted: the job, queued",
    responses=headers(202, LOCATION | ANSWER_HEADERS | REPLAYED_HEADER)
    | ENDED_IN_TIME
    | problems(
        *IMAGE_UPLOAD,
        KeyInUse,
        UnknownSourceProblem,
        UnknownCaptioner,
        UnknownEmbedder,
        AddressRefused,
        KeyReused,
    ),
    openapi_extra={"parameters": [PREFER, CANCEL_AFTER, IDEMPOTENCY_KEY], "requestBody": SUBMISSION},
)
async def attribute_image(
    request: Request,
    caller: Admitted,
    settings: Settings,
    intake: Intake,
    decoders: Decoders,
    idempotent_requests: IdempotentRequests,
    slots: UploadSlots,
    long_polling: LongPolling,
    volumes: Volumes,
) -> Response:
    """Submit an image: a file in a form, base64 in JSON, or an address that a worker fetches.

    The content's format counts, not the file's name: PNG, JPEG, WebP, GIF (first frame), BMP, TIFF, AVIF.
    With `Prefer: wait=n` the response is a 200 with the ended job if it ends within n seconds, otherwise a 202.
    A file that was submitted with the same options before has its result at once, unless `cache` is false.
    With an `Idempotency-Key` the request can be repeated safely: it creates one job, whichever response was lost.
    """
    terms = Terms.of(caller.tenant_id, "POST /attribute", request.headers)
    with upload_slot(slots, caller.tenant_id, request.headers) as folder:
        submission = await _read_submission(request, caller.tenant_id, settings.intake, folder, decoders)
        async with while_connected(request):
            accepted = await idempotent_requests.accept(terms, submission)
    if not isinstance(accepted, JobDocument):
        return await long_polling.reader.replay(request, caller.tenant_id, accepted)
    volumes.add(caller.tenant_id, jobs=1)
    intake.enqueue([accepted])
    bind_contextvars(job_id=str(accepted.id))  # for the request's line in the log
    return await _accepted_response(request, long_polling, caller.tenant_id, accepted)


async def _read_submission(
    request: Request, tenant_id: uuid.UUID, limits: IntakeSettings, folder: Path, decoders: children.Decoders
) -> Submission:
    if media_type(request.headers) != JSON:
        return from_form(await read_upload(request.headers, request.receive, folder, limits))
    body = folder / "body"
    await receive_json(request.headers, request.receive, body, body_limit(limits), limits)
    async with while_connected(request):
        value = await decoders.unpack_json(tenant_id, body)
    return from_json(value, limits)


async def _accepted_response(
    request: Request, long_polling: LongPolling, tenant_id: uuid.UUID, job: JobDocument
) -> Response:
    """Waits as `Prefer` asks: 200 with a job that has ended, else 202. The body must have been read.

    Without `wait` the response is always a 202, also for a cached job. An error while waiting is no error of the
    request: the job is accepted, and the response has its address.
    """
    preferences = read_preferences(request.headers.getlist("prefer"))
    document = job.model_dump_json().encode()
    applied = []
    if preferences.wait is not None:
        waited: bytes | None = document
        try:
            if is_unfinished(document):
                waited = await long_polling.for_end(request, tenant_id, job.id, preferences.wait, document)
        except (ServiceError, SQLAlchemyError):
            waited = None
        if waited is not None:
            document = waited
            applied.append(f"wait={preferences.wait}")
    unfinished = is_unfinished(document)
    if unfinished and preferences.respond_async:
        applied.append("respond-async")
    status = 202 if unfinished or preferences.wait is None else 200
    return job_response(request, document, applied, status, {"Location": f"/attribute/{job.id}"})


@router.get(
    _JOB_PATH,
    response_model=JobDocument,
    response_description="the job's current state",
    responses=headers(200, ANSWER_HEADERS) | NOT_MODIFIED | problems(NotFound, Deleted),
    openapi_extra={"parameters": [PREFER]},
)
async def get_attribution(job_id: uuid.UUID, request: Request, caller: Reader, long_polling: LongPolling) -> Response:
    """Poll a job; `Retry-After` is present until it has ended.

    With `Prefer: wait=n` the response comes as soon as the job has ended, or after n seconds; together with
    `If-None-Match` as soon as the job has changed.
    """
    wait = read_preferences(request.headers.getlist("prefer")).wait if "prefer" in request.headers else None
    if wait is not None:
        until = long_polling.for_change if "if-none-match" in request.headers else long_polling.for_end
        document = await until(request, caller.tenant_id, job_id, wait)
        if document is not None:
            return job_response(request, document, [f"wait={wait}"])
    return job_response(request, await long_polling.reader.read(caller.tenant_id, job_id))


async def _poll(request: Request) -> Response:
    identity: Identity = request.state.identity
    caller = identity.require([Scope.READ])
    return await get_attribution(request.path_params["job_id"], request, caller, request.state.long_polling)


class PollRoute(Route):
    """GET /attribute/{job_id} as a plain Starlette route, matched before `get_attribution`'s own.

    With FastAPI's dependencies a process answers 0.71 times as many polls; for POST no difference was measured (0.98),
    medians of eight alternating rounds. `get_attribution` stays the route in the OpenAPI document; a test compares the
    responses of both.
    """

    def __init__(self) -> None:
        super().__init__(_JOB_PATH, _poll, methods=["GET"])
        self.methods = {"GET"}  # Starlette adds HEAD, which no other route answers

    def matches(self, scope: AsgiScope) -> tuple[Match, dict[str, Any]]:
        """Starlette's own, and the route itself, whose template labels the metrics."""
        match, child = super().matches(scope)
        return match, {**child, "route": self}


@router.post(
    f"{_JOB_PATH}/cancel",
    response_model=JobDocument,
    response_description="the job: canceled, or as it had ended before",
    responses=problems(NotFound, Deleted),
)
def cancel_attribution(
    job_id: uuid.UUID, caller: Submitter, database: Database, snapshots: Snapshots, broker: Broker
) -> Response:
    """Cancel a job: steps that have not begun do not begin, and late results are dropped.

    Repeated, or after the job has ended, it changes nothing and responds with the job.
    """
    with database.transaction() as session:
        canceled = service.cancel(session, caller.tenant_id, job_id)
        job = canceled or repository.get_by_id(session, caller.tenant_id, job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}.")
        if job.deleted_at is not None:
            raise Deleted(f"Job {job_id} was deleted.")
        document = job_document(job, source_repository.list_for_job(session, job_id), sum_by_source(session, job))
    if canceled is not None:
        snapshots.store_ended(caller.tenant_id, document)
        if canceled.notify:
            broker.enqueue([notify_step()])
    return Response(document.model_dump_json(), media_type="application/json")


@router.delete(
    _JOB_PATH,
    status_code=204,
    response_description="deleted, now or before",
    responses=problems(NotFound),
)
def delete_attribution(
    job_id: uuid.UUID, request: Request, caller: Submitter, database: Database, blobs: Blobs, snapshots: Snapshots
) -> None:
    """Delete a job: its images, vectors, captions and texts, and all cached copies.

    A job that has not ended is canceled first. A tombstone with its times remains, for which GET responds with 410.
    Images that other jobs use, too, stay with those. While the image store is unavailable, nothing of the job can be
    read any more, and its images are deleted once the store is back.
    """
    request_id = getattr(request.state, "request_id", None)
    if not delete_job(database, blobs, snapshots, caller.tenant_id, job_id, caller.actor, request_id):
        raise NotFound(f"There is no job {job_id}.")
