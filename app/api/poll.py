"""GET /attribute/{id}: the job as it stands, for those who poll; `Prefer: wait` spares them the polling."""

import uuid

from fastapi import APIRouter, Request, Response

from app.api.answers import answer
from app.api.dependencies import Reader, Waiting, get_caller, get_reader
from app.api.lean import lean
from app.api.openapi import ANSWER_HEADERS, NOT_MODIFIED, PREFER, headers, problems
from app.api.preferences import read_preferences
from app.documents import JobDocument
from app.errors import Deleted, NotFound, StorageUnavailable


async def _poll(request: Request) -> Response:
    caller = await get_reader(await get_caller(request))
    return await get_attribution(request.path_params["job_id"], request, caller, request.state.waiting)


router = APIRouter(tags=["attribution"], route_class=lean(_poll))


@router.get(
    "/attribute/{job_id:uuid}",
    response_model=JobDocument,
    response_description="the job as it stands",
    responses=headers(200, ANSWER_HEADERS) | NOT_MODIFIED | problems(NotFound, Deleted, StorageUnavailable),
    openapi_extra={"parameters": [PREFER]},
)
async def get_attribution(job_id: uuid.UUID, request: Request, caller: Reader, waiting: Waiting) -> Response:
    """Poll a job; `Retry-After` is there as long as it has not ended.

    With `Prefer: wait=n` the answer comes as soon as the job has ended, or after n seconds; together with
    `If-None-Match` as soon as the job has changed.
    """
    wait = read_preferences(request.headers.getlist("prefer")).wait if "prefer" in request.headers else None
    if wait is not None:
        until = waiting.for_change if "if-none-match" in request.headers else waiting.for_end
        document = await until(request, caller.tenant_id, job_id, wait)
        if document is not None:
            return answer(request, document, [f"wait={wait}"])
    return answer(request, await waiting.answers.read(caller.tenant_id, job_id))
