"""The answer to a job that was accepted: 202 at once, or its end where the caller preferred to wait and it came."""

import uuid

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import answer
from app.api.long_polling import LongPolling
from app.api.preferences import read_preferences
from app.documents import JobDocument, is_unfinished
from app.errors import ServiceError
from app.jobs.idempotency import StoredResponse

# Says that nothing new was made: the answer is that of an earlier request with the same Idempotency-Key.
REPLAYED = "Idempotency-Replayed"


async def answer_accepted(request: Request, waiting: LongPolling, tenant_id: uuid.UUID, job: JobDocument) -> Response:
    """Waits as `Prefer` says: 200 with the job that has ended, 202 with one that has not. The body must be read.

    Who does not wait always gets a 202, as it expects, also for a job that had its answer at once.

    Whatever happens while it waits, the job is accepted, and the caller is told its address.
    """
    preferences = read_preferences(request.headers.getlist("prefer"))
    document = job.model_dump_json().encode()
    applied = []
    if preferences.wait is not None:
        waited: bytes | None = document
        try:
            if is_unfinished(document):
                waited = await waiting.for_end(request, tenant_id, job.id, preferences.wait, document)
        except (ServiceError, SQLAlchemyError):
            waited = None
        if waited is not None:
            document = waited
            applied.append(f"wait={preferences.wait}")
    unfinished = is_unfinished(document)
    if unfinished and preferences.respond_async:
        applied.append("respond-async")
    status = 202 if unfinished or preferences.wait is None else 200
    return answer(request, document, applied, status, {"Location": f"/attribute/{job.id}"})


async def replay(request: Request, waiting: LongPolling, tenant_id: uuid.UUID, before: StoredResponse) -> Response:
    """What was answered when the job was accepted; what it is now, where that is not kept any more."""
    document = await replayed_document(waiting, tenant_id, before)
    return answer(request, document, (), before.status, {**before.headers, REPLAYED: "true"})


async def replayed_document(waiting: LongPolling, tenant_id: uuid.UUID, before: StoredResponse) -> bytes:
    """The document of `replay`. Raises Deleted for a job that was."""
    if before.body is not None:
        return before.body.encode()
    assert before.job_id is not None
    return await waiting.answers.read(tenant_id, before.job_id)
