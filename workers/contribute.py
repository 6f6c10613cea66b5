"""Adds jobs that have succeeded to the bank, by beat: a job's result never waits for it and never fails because of it.

What a job contributes is residuals of the images that sources generated for it: never pixels, never its query image,
never uploaded references.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import structlog

from app.db.models import Job, JobSource
from app.jobs import contribution_repository, source_repository
from attribution.bank import PastJob, past_job
from attribution.embed.stage import feature_space
from attribution.ports import Embedded, ModelRef, Origin, SourceState
from attribution.residual import residuals
from workers.artifacts import unpack
from workers.bank_rows import columns_of
from workers.storage import Storage

log = structlog.get_logger(__name__)


def contribute(storage: Storage, seconds: float) -> int:
    """Adds what waits, for so many seconds at most; returns how many jobs it worked on."""
    settings = storage.job_settings
    stop = time.monotonic() + seconds
    with storage.database.statement() as session:
        if crashed := contribution_repository.exclude_crashed(session, settings.attempts):
            log.error("contributions_given_up", jobs=crashed)
    done = 0
    while time.monotonic() < stop:
        with storage.database.statement() as session:
            job = contribution_repository.claim_contributing(session, settings.lease, settings.attempts)
        if job is None:
            break
        _contribute(storage, job)
        done += 1
    return done


def contribution(job: Job, rows: Sequence[JobSource], embedded: Embedded) -> PastJob | None:
    """What a job can contribute; None where fewer than two sources generated for it, or nothing can be compared."""
    generated = {
        row.source: row.revision for row in rows if row.state == SourceState.DONE and row.origin == Origin.GENERATOR
    }
    if embedded.taps is None or embedded.taps.side is not None:  # of reduced images: others than a bank is made of
        return None
    images = {source: taps for source, taps in embedded.taps.generated_images.items() if source in generated}
    if len(images) < 2:
        return None
    # Uploaded references are left out before the content is subtracted, so that nothing of them is in the others.
    return past_job(str(job.id), residuals(replace(embedded.taps, generated_images=images)), generated)


def caption_hash(caption: str) -> str:
    """The same for captions that differ in case or spaces only."""
    return sha256(" ".join(caption.casefold().split()).encode()).hexdigest()


def _contribute(storage: Storage, job: Job) -> None:
    try:
        values = _values(storage, job)
        with storage.database.statement() as session:
            if values is None:
                contribution_repository.exclude(session, job)
            else:
                contribution_repository.contribute(session, job, values)
    except Exception as error:  # one job must not keep others from contributing; its attempts are counted
        log.warning("contribution_failed", job_id=str(job.id), attempt=job.attempt, error=type(error).__name__)
        with storage.database.statement() as session:
            contribution_repository.release(session, job)


def _values(storage: Storage, job: Job) -> dict[str, Any] | None:
    if job.features_blob is None or job.embedder is None or job.caption is None:
        return None
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    embedder = ModelRef.parse(job.embedder)
    past = contribution(job, rows, unpack(storage.blobs.get(job.tenant_id, job.features_blob), embedder))
    if past is None:
        return None
    return columns_of(past) | {
        "space": feature_space(embedder),
        "caption_hash": caption_hash(job.caption),
    }
