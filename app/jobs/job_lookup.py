"""Reads one job of a tenant, or says why there is none to be read."""

import uuid

from sqlalchemy.orm import Session

from app.db.models import Job
from app.errors import Erased, NotFound
from app.jobs.repository import find


def read_job(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, *, keep: bool = False) -> Job:
    """The tenant's job; with `keep` it cannot be erased before the transaction ends. Raises NotFound and Erased."""
    job = find(session, tenant_id, job_id)
    if job is not None and keep:
        session.refresh(job, with_for_update={"read": True})
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if job.erased_at is not None:
        raise Erased(f"Job {job_id} was erased.")
    return job
