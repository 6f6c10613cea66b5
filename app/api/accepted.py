"""The answer to a job that was accepted: 202 at once, or its end where the caller preferred to wait and it came."""

import uuid

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import answer, is_unfinished
from app.api.preferences import read_preferences
from app.api.waiting import Waiting
from app.documents import JobDocument
from app.errors import ServiceError


async def answer_accepted(request: Request, waiting: Waiting, tenant_id: uuid.UUID, job: JobDocument) -> Response:
    """Waits as `Prefer` says: 200 with the job that has ended, 202 with one that has not. The body must be read.

    Whatever happens while it waits, the job is accepted, and the caller is told its address.
    """
    preferences = read_preferences(request.headers.getlist("prefer"))
    document = job.model_dump_json().encode()
    applied = []
    if preferences.wait is not None:
        try:
            waited = await waiting.for_end(request, tenant_id, job.id, preferences.wait)
        except (ServiceError, SQLAlchemyError):
            waited = None
        if waited is not None:
            document = waited
            applied.append(f"wait={preferences.wait}")
    unfinished = is_unfinished(document)
    if unfinished and preferences.respond_async:
        applied.append("respond-async")
    return answer(request, document, applied, 202 if unfinished else 200, {"Location": f"/attribute/{job.id}"})
