"""Deleting a job: its images, vectors, texts and everything that repeats them go; a tombstone with id and times stays.

Rows first, bytes before the commit, the snapshot last. Whatever is unavailable in between leaves something to delete, and
deleting again finishes it.
"""

import uuid

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from app.access import audit
from app.db import blobs
from app.db.blobs import Blobs
from app.db.database import Database
from app.db.models import Feedback, JobSource
from app.errors import StorageUnavailable
from app.jobs import idempotency
from app.jobs.repository import LEAVING, set_clause
from app.jobs.snapshots import Snapshots
from app.webhooks import deliveries

# Everything that was asked, answered or derived; what is not named here says nothing about the image.
_TEXTS = (
    *(
        "image",
        "image_url",
        "prompt",
        "seed",
        "method_options",
        "external_scores",
        "external_id",
        "metadata",
        "webhook_url",
        "webhook_events",
    ),
    *("evidence", "caption", "captioner", "embedder", "features_blob", "query_blob", "result", "error"),
    *("result_key", "pipeline_fingerprint", "screening_fingerprint", "result_computed_at", "cached_from"),
)


def delete_job(
    database: Database,
    store: Blobs,
    snapshots: Snapshots,
    tenant_id: uuid.UUID,
    job_id: uuid.UUID,
    actor: str,
    request_id: str | None = None,
) -> bool:
    """Deletes a job, canceling it if it is still open; False when the tenant has no such job.

    Deleting again is fine. Raises StorageUnavailable when bytes or snapshot could not be deleted: do it again then.
    """
    with database.transaction() as session:
        found = session.execute(_LOCK, {"id": job_id, "tenant_id": tenant_id}).one_or_none()
        if found is None:
            return False
        if found.deleted_at is None:
            _delete_rows(session, job_id)
            audit.record(session, tenant_id, actor, "job.deleted", str(job_id), request_id)
            store.delete_all(blobs.delete_references(session, job_id))
    if not snapshots.store_tombstone(tenant_id, job_id):
        raise StorageUnavailable(
            "The job is deleted, but a copy of its answer may remain in the cache: delete it again."
        )
    return True


def _delete_rows(session: Session, job_id: uuid.UUID) -> None:
    session.execute(_CLOSE, {"id": job_id})
    session.execute(_EMPTY, {"id": job_id})
    session.execute(_FORGET_TASKS, {"id": job_id})
    idempotency.clear_bodies(session, [job_id])
    for table in (JobSource, Feedback):
        session.execute(delete(table).where(table.job_id == job_id))
    deliveries.delete_for_job(session, job_id)


_LOCK = text("SELECT deleted_at FROM jobs WHERE id = :id AND tenant_id = :tenant_id FOR UPDATE")
_CLOSE = text(
    f"""
    UPDATE jobs SET {set_clause(LEAVING)}, status = 'canceled', stage = NULL, completed_at = clock_timestamp()
    WHERE id = :id AND status IN ('queued', 'processing')
    """  # noqa: S608 - our own words
)
# What was spent stays; the handles by which a vendor knows the generated images do not.
_FORGET_TASKS = text("UPDATE source_calls SET vendor_task = NULL WHERE job_id = :id")
_EMPTY = text(
    f"""
    UPDATE jobs SET {", ".join(f"{column} = NULL" for column in _TEXTS)}, notify = false,
        deleted_at = clock_timestamp(),
        images_deleted_at = coalesce(images_deleted_at, clock_timestamp()),
        captions_deleted_at = coalesce(captions_deleted_at, clock_timestamp())
    WHERE id = :id
    """  # noqa: S608 - our own words
)
