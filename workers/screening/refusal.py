"""Deletes the images and texts of a job that screening refused. Its id, its times and the reason remain."""

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.access import audit
from app.db import blobs
from app.db.blobs import Blobs
from app.db.models import Job
from app.errors import ScreeningRefused
from app.jobs import idempotency

ACTOR = "screening"


def delete_refused(session: Session, store: Blobs, job: Job, error: ScreeningRefused) -> None:
    """Deletes the pixels and clears the texts of a job that this session has ended, and records why.

    Before the commit: with the store unavailable this raises StorageUnavailable, and the stage is retried until the
    pixels are deleted.
    """
    store.delete_all(blobs.delete_references(session, job.id))
    idempotency.clear_bodies(session, [job.id])
    job.prompt = job.caption = job.captioner = job.evidence = job.image_url = job.result_key = None
    job.external_scores = None
    job.images_deleted_at = job.captions_deleted_at = func.clock_timestamp()
    audit.record(session, job.tenant_id, ACTOR, "job.screened", str(job.id), **error.extensions.get("screening", {}))
