"""/attribute/{id}/images: the canonical query image, which the models got, and the images that the sources generated.

Only files that this service wrote are served, PNG or BMP. The original upload is not: it may hold anything.
"""

import re
import uuid

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from app.access.audit import record
from app.api.dependencies import Blobs, Database, Identity, Reader
from app.api.job_responses import caller_has
from app.api.openapi import IMAGE, problems
from app.db import blob_repository, database
from app.db.blob_repository import QUERY, image_role
from app.errors import Deleted, NotFound
from app.jobs.repository import get_existing_job

router = APIRouter(prefix="/attribute/{job_id:uuid}/images", tags=["attribution"])

_RESPONSES = IMAGE | problems(NotFound, Deleted)
_HEADERS = {
    # Validated each time, so that a deleted image is unavailable at once, and each read is in the audit log.
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]")


@router.get("/query", response_class=StreamingResponse, responses=_RESPONSES)
def get_query_image(job_id: uuid.UUID, request: Request, caller: Reader, database: Database, blobs: Blobs) -> Response:
    """Get the query image as the models got it: the first frame, upright, scaled down, without metadata."""
    return _image(request, caller, database, blobs, job_id, QUERY)


@router.get("/{source}/{k:int}", response_class=StreamingResponse, responses=_RESPONSES)
def get_generated_image(
    job_id: uuid.UUID,
    source: str,
    k: int,
    request: Request,
    caller: Reader,
    database: Database,
    blobs: Blobs,
) -> Response:
    """Get a source's generated image k, counted from 0."""
    return _image(request, caller, database, blobs, job_id, image_role(source, k))


def _image(
    request: Request, caller: Identity, database: database.Database, blobs: Blobs, job_id: uuid.UUID, role: str
) -> Response:
    with database.transaction() as session:
        job = get_existing_job(session, caller.tenant_id, job_id)
        blob = None if "\0" in role else blob_repository.get_by_role(session, job_id, role)
        if blob is None and job.images_deleted_at is not None:
            raise Deleted(f"The images of job {job_id} were deleted; the job itself was not.")
        if blob is None:
            raise NotFound(f"Job {job_id} has no such image, or does not have it yet.")
        request_id = getattr(request.state, "request_id", None)
        record(session, caller.tenant_id, caller.actor, "job.image_read", str(job_id), request_id, image=role)
    headers = {**_HEADERS, "ETag": f'"{blob.sha256}"'}
    if caller_has(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    try:
        pieces = blobs.open(caller.tenant_id, blob.sha256)
    except FileNotFoundError:
        raise Deleted(f"The images of job {job_id} were deleted just now.") from None
    name = _NOT_IN_FILE_NAMES.sub("-", f"{job_id}-{role}.{blob.media_type.rpartition('/')[2]}")
    headers |= {"Content-Length": str(blob.size), "Content-Disposition": f'inline; filename="{name}"'}
    return StreamingResponse(pieces, media_type=blob.media_type, headers=headers)
