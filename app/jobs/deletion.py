"""Deletes jobs, parts of jobs that were kept for long enough or that screening refused, and bytes that nothing uses.

Rows first: the commit ends the use of the bytes, which are then deleted outside of any transaction, in bulk, and
confirmed. Where the store does not answer, they stay due, and the retention task deletes them. The snapshot is last.
What is personal data is marked in the mapper, see `personal_data`.
"""

import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from app.access import audit
from app.db import bank_repository, blob_repository
from app.db.blobs import Address, Blobs, StoredBlob
from app.db.database import Database
from app.db.models import Clearing, Job
from app.errors import ScreeningRefused, StorageUnavailable
from app.jobs import repository, retention_repository
from app.jobs.retention_repository import JobRef
from app.jobs.snapshots import Snapshots

log = structlog.get_logger(__name__)

_SCREENING = "screening"
# Of one claim of bytes to delete: as many as object stores delete with one request.
PORTION = 1_000
# How long such a claim lasts; the store is not asked to delete anything after it.
_LEASE = timedelta(minutes=2)


def delete_bytes(database: Database, store: Blobs, addresses: Collection[Address]) -> None:
    """Deletes the bytes of blobs that a committed transaction has marked as deleted.

    Where the store does not answer they stay due, and `delete_due_bytes` deletes them.
    """
    try:
        ordered = sorted(addresses)
        for first in range(0, len(ordered), PORTION):
            started = time.monotonic()
            with database.statement() as session:
                claimed = blob_repository.claim_deletions(session, _LEASE, ordered[first : first + PORTION])
            _delete_claimed(database, store, claimed, started)
    except StorageUnavailable:
        log.warning("bytes_not_deleted", blobs=len(addresses))


def delete_due_bytes(database: Database, store: Blobs) -> int:
    """Deletes one portion of what is due, and returns its size. Raises StorageUnavailable."""
    started = time.monotonic()
    with database.statement() as session:
        claimed = blob_repository.claim_due_deletions(session, _LEASE, PORTION)
    _delete_claimed(database, store, claimed, started)
    return len(claimed)


def _delete_claimed(database: Database, store: Blobs, claimed: Sequence[Address], started: float) -> None:
    if claimed:
        store.delete_all(claimed, until=started + _LEASE.total_seconds())
        with database.statement() as session:
            blob_repository.confirm_deletions(session, claimed)


def discard(database: Database, store: Blobs, stored: Iterable[StoredBlob]) -> None:
    """Deletes what was stored for a request or a step that did not commit; what other jobs use stays."""
    addresses = {(blob.tenant_id, blob.sha256) for blob in stored}
    if addresses:
        with database.transaction() as session:
            unused = blob_repository.mark_unreferenced_deleted(session, addresses)
        delete_bytes(database, store, unused)


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
    again is fine. Raises StorageUnavailable when the snapshot could not be deleted: do it again then.
    """
    unused = delete_rows(database, tenant_id, job_id, actor, request_id, keep_contribution=keep_contribution)
    if unused is None:
        return False
    delete_bytes(database, store, unused)
    if not snapshots.store_tombstone(tenant_id, job_id):
        raise StorageUnavailable("The job is deleted, but a copy of it may remain in the cache: delete it again.")
    return True


def delete_rows(
    database: Database,
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    actor: str,
    request_id: str | None = None,
    *,
    keep_contribution: bool = False,
) -> Sequence[Address] | None:
    """What `delete_job` does in Postgres; returns the blobs whose bytes are due then, or None without such a job."""
    with database.transaction() as session:
        job = repository.lock_by_id(session, tenant_id, job_id)
        if job is None:
            return None
        if not keep_contribution:
            bank_repository.delete_contribution(session, job_id)
        if job.deleted_at is not None:
            return ()
        repository.mark_canceled(session, tenant_id, job_id)
        unused = blob_repository.delete_references(session, job_id)
        retention_repository.clear_personal_data(session, Clearing.DELETION, [job_id])
        repository.mark_deleted(session, job_id)
        audit.record(session, tenant_id, actor, "job.deleted", str(job_id), request_id)
        return unused


def delete_refused(session: Session, job: Job, error: ScreeningRefused) -> list[Address]:
    """Ends the use of the images and clears the texts of a job that this session has ended as refused; records why.

    Returns what is to be passed to `delete_bytes` after the commit.
    """
    unused = blob_repository.delete_references(session, job.id)
    retention_repository.clear_personal_data(session, Clearing.SCREENING, [job.id])
    repository.mark_parts_deleted(session, [job.id], images=True, captions=True)
    detail = error.extensions.get("screening", {})
    audit.record(session, job.tenant_id, _SCREENING, "job.screened", str(job.id), **detail)
    return unused


def delete_expired_images(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Ends the use of images by jobs that had them for long enough; returns the jobs. The vectors stay.

    From the commit on, the bytes are due.
    """
    jobs = retention_repository.lock_expired_images(session, span)
    for _, job_id in jobs:
        blob_repository.delete_references(session, job_id, except_for=[blob_repository.FEATURES])
    _clear(session, Clearing.IMAGES, jobs)
    return jobs


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
