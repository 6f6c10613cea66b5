"""POST /attribute/{id}/cancel and DELETE /attribute/{id}: a job that is not wanted any more."""

import uuid

from fastapi import APIRouter, Request, Response

from app.api.dependencies import Blobs, Broker, Database, Snapshots, Submitter
from app.api.openapi import problems
from app.documents import JobDocument, job_document
from app.errors import Deleted, NotFound, StorageUnavailable
from app.jobs import repository, service, source_repository
from app.jobs.deletion import delete_job
from app.queue.steps import notify_step
from app.vendors.budget import sum_by_source

router = APIRouter(tags=["attribution"])


@router.post(
    "/attribute/{job_id:uuid}/cancel",
    response_model=JobDocument,
    response_description="the job: canceled, or as it had ended before",
    responses=problems(NotFound, Deleted, StorageUnavailable),
)
def cancel_attribution(
    job_id: uuid.UUID, caller: Submitter, database: Database, snapshots: Snapshots, broker: Broker
) -> Response:
    """Cancel a job: what has not begun does not begin, and what comes late is dropped.

    Doing so again, or after the job has ended, changes nothing and answers with the job as it is.
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
    "/attribute/{job_id:uuid}",
    status_code=204,
    response_description="deleted, now or before",
    responses=problems(NotFound, StorageUnavailable),
)
def delete_attribution(
    job_id: uuid.UUID, request: Request, caller: Submitter, database: Database, blobs: Blobs, snapshots: Snapshots
) -> None:
    """Delete a job: its images, vectors, captions and texts, whatever repeats them, and every copy in the cache.

    A job that has not ended is canceled first. What remains is that there was one, and when: asking for it is then
    a 410. Images that other jobs use, too, stay with those.
    """
    if not delete_job(
        database, blobs, snapshots, caller.tenant_id, job_id, caller.actor, getattr(request.state, "request_id", None)
    ):
        raise NotFound(f"There is no job {job_id}.")
