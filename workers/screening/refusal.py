"""What is left of a job that screening ended: its id, its times and why. Nothing to look at and nothing to read."""

from sqlalchemy import func
from sqlalchemy.orm import Session

from app.access import audit
from app.db import blobs
from app.db.blobs import Blobs
from app.db.models import Job
from app.errors import ScreeningRefused
from app.jobs import idempotency

ACTOR = "screening"


def forget(session: Session, store: Blobs, job: Job, error: ScreeningRefused) -> None:
    """Deletes the pixels and clears the texts of a job that this session has ended, and records why.

    Before the commit: with the store away this raises StorageUnavailable, and the stage is tried again until the
    pixels are gone.
    """
    store.delete_all(blobs.delete_references(session, job.id))
    idempotency.clear_bodies(session, [job.id])
    job.prompt = job.caption = job.captioner = job.evidence = job.image_url = job.result_key = None
    job.external_scores = None
    job.images_deleted_at = job.captions_deleted_at = func.clock_timestamp()
    audit.record(session, job.tenant_id, ACTOR, "job.screened", str(job.id), **error.extensions.get("screening", {}))
