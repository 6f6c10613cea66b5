"""GET /attribute/{id}: the job as it stands, for those who poll."""

import re
import uuid

from fastapi import APIRouter, Response

from app.api.dependencies import Database, Reader, Snapshots
from app.api.openapi import RETRY_AFTER, headers, problems
from app.documents import JobDocument, job_document
from app.errors import InvalidRequest, NotFound, StorageUnavailable
from app.store.jobs import find, sources_of

router = APIRouter(tags=["attribution"])

# A snapshot starts with the document's first two members; whether to poll again is read off them, nothing is parsed.
_UNFINISHED = re.compile(rb'\{"id":"[^"]*","status":"(?:queued|processing)"')
_POLL_AGAIN = {"Retry-After": "1"}


@router.get(
    "/attribute/{job_id}",
    response_model=JobDocument,
    response_description="the job as it stands",
    responses=headers(200, RETRY_AFTER) | problems(NotFound, InvalidRequest, StorageUnavailable),
)
def get_attribution(job_id: uuid.UUID, caller: Reader, snapshots: Snapshots, database: Database) -> Response:
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
