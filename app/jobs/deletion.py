"""Deletes jobs, and parts of jobs that were kept for long enough or that screening refused.

Rows first, bytes before the commit, the snapshot last. Should a part fail, something is left to delete, and deleting
again finishes it. What is personal data is marked in the mapper, see `personal_data`.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from app.access import audit
from app.db import bank_repository, blob_repository
from app.db.blobs import Address, Blobs
from app.db.database import Database
from app.db.models import Clearing, Job
from app.errors import ScreeningRefused, StorageUnavailable
from app.jobs import repository, retention_repository
from app.jobs.retention_repository import JobRef
from app.jobs.snapshots import Snapshots

_SCREENING = "screening"


def delete_job(
    database: Database,
    store: Blobs,
    snapshots: Snapshots,
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    actor: str,
    request_id: str | None = None,
    *,
    keep_contribution: bool = False,
) -> bool:
    """Deletes all that a job holds, canceling it if it is open; False when the tenant has no such job.

    A tombstone with id, times and costs stays, and with `keep_contribution` what it contributed to the bank. Deleting
    again is fine. Raises StorageUnavailable when bytes or snapshot could not be deleted: do it again then.
    """
    with database.transaction() as session:
        job = repository.lock_by_id(session, tenant_id, job_id)
        if job is None:
            return False
        if not keep_contribution:
            bank_repository.delete_contribution(session, job_id)
        if job.deleted_at is None:
            repository.mark_canceled(session, tenant_id, job_id)
            addresses = blob_repository.delete_references(session, job_id)
            retention_repository.clear_personal_data(session, Clearing.DELETION, [job_id])
            repository.mark_deleted(session, job_id)
            audit.record(session, tenant_id, actor, "job.deleted", str(job_id), request_id)
            store.delete_all(addresses)
    if not snapshots.store_tombstone(tenant_id, job_id):
        raise StorageUnavailable("The job is deleted, but a copy of it may remain in the cache: delete it again.")
    return True


def delete_refused(session: Session, store: Blobs, job: Job, error: ScreeningRefused) -> None:
    """Deletes the images and clears the texts of a job that this session has ended as refused, and records why.

    The bytes go before the commit: raises StorageUnavailable without the store, and the stage is tried again until
    they are gone.
    """
    store.delete_all(blob_repository.delete_references(session, job.id))
    retention_repository.clear_personal_data(session, Clearing.SCREENING, [job.id])
    repository.mark_parts_deleted(session, [job.id], images=True, captions=True)
    detail = error.extensions.get("screening", {})
    audit.record(session, job.tenant_id, _SCREENING, "job.screened", str(job.id), **detail)


def delete_expired_images(session: Session, span: timedelta) -> tuple[Sequence[JobRef], list[Address]]:
    """Ends the use of images by jobs that had them for long enough. The vectors stay.

    Returns the jobs, and the bytes to delete before the commit.
    """
    jobs = retention_repository.lock_expired_images(session, span)
    addresses: list[Address] = []
    for _, job_id in jobs:
        addresses += blob_repository.delete_references(session, job_id, except_for=[blob_repository.FEATURES])
    _clear(session, Clearing.IMAGES, jobs)
    return jobs, addresses


def delete_expired_captions(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Clears captions, prompts and evidence of jobs that had them for long enough; returns the jobs."""
    jobs = retention_repository.lock_expired_captions(session, span)
    _clear(session, Clearing.CAPTIONS, jobs)
    return jobs


def _clear(session: Session, clearing: Clearing, jobs: Sequence[JobRef]) -> None:
    job_ids = [job_id for _, job_id in jobs]
    retention_repository.clear_personal_data(session, clearing, job_ids)
    images, captions = clearing is Clearing.IMAGES, clearing is Clearing.CAPTIONS
    repository.mark_parts_deleted(session, job_ids, images=images, captions=captions)
