"""Reads one job of a tenant, or says why there is none to be read."""

import uuid

from sqlalchemy.orm import Session

from app.db.models import Job
from app.errors import Deleted, NotFound
from app.jobs.repository import get_by_id


def get_existing_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, *, keep: bool = False) -> Job:
    """The tenant's job; with `keep` it cannot be deleted before the transaction ends. Raises NotFound and Deleted."""
    job = get_by_id(session, tenant_id, job_id)
    if job is not None and keep:
        session.refresh(job, with_for_update={"read": True})
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if job.deleted_at is not None:
        raise Deleted(f"Job {job_id} was deleted.")
    return job
