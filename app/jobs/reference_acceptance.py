"""Accepts reference images that the caller uploads while a job waits for them: those of one source together, once.

Screening them, and ending their source, are a worker's step, like generating: a claim of the source's row.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource, JobStatus, Stage
from app.db.types import ImageRecord
from app.errors import (
    Deleted,
    NotFound,
    ReferencesConflict,
    ReferencesNotExpected,
    ReferencesRefused,
    ReferencesTooEarly,
    ReferencesTooLate,
)
from app.jobs import source_repository
from app.jobs.repository import get_by_id
from attribution.ports import Origin, SourceState

_BEFORE_THE_CAPTION = (Stage.FETCHING, Stage.SCREENING, Stage.CAPTIONING)


@dataclass(frozen=True, slots=True)
class AwaitedSource:
    """A job and its source, as an upload of reference images finds them."""

    job: Job
    row: JobSource
    late: bool  # the job's deadline has passed, whether or not the sweep has seen it


def get_awaited(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> AwaitedSource:
    """Raises NotFound, Deleted, and ReferencesRefused where no generated images of the source would be taken now."""
    found = _find(session, tenant_id, job_id, source, lock=False)
    if not found.row.generated_images:
        _check(found)
    return found


def accept_references(
    session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, blobs: Sequence[str]
) -> tuple[Job, bool]:
    """Gives a source its reference images; whether they are new: uploading the same again changes nothing.

    Holds the job's row lock, so that two callers, or a caller and the deadline, come one after the other. Raises as
    `get_awaited` does, and ReferencesConflict where the source has others.
    """
    found = _find(session, tenant_id, job_id, source, lock=True)
    had = [image.blob for image in found.row.generated_images]
    if found.row.origin == Origin.REFERENCE and had == list(blobs):
        return found.job, False
    _check(found)
    images = [ImageRecord(k, None, blob) for k, blob in enumerate(blobs)]
    source_repository.mark_references_uploaded(session, job_id, source, images)
    session.expire(found.row)
    return found.job, True


def _find(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, *, lock: bool) -> AwaitedSource:
    job = get_by_id(session, tenant_id, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    if lock:
        session.refresh(job, with_for_update=True)
    if job.deleted_at is not None:
        raise Deleted(f"Job {job_id} was deleted.")
    row = None if "\0" in source else session.scalars(_ROW, {"job_id": job_id, "source": source}).one_or_none()
    if row is None:
        raise NotFound(f"Job {job_id} has no such source.")
    return AwaitedSource(job, row, bool(session.scalar(_LATE, {"job_id": job_id})))


_ROW = select(JobSource).where(JobSource.job_id == bindparam("job_id"), JobSource.source == bindparam("source"))
_LATE = text("SELECT deadline_at <= clock_timestamp() FROM jobs WHERE id = :job_id")


def _check(found: AwaitedSource) -> None:
    """Raises the ReferencesRefused that fits, unless the source's generated images are being waited for."""
    refused = _refusal(found)
    if refused is not None:
        raise refused


def _refusal(found: AwaitedSource) -> ReferencesRefused | None:
    job, row = found.job, found.row
    if row.origin != Origin.REFERENCE:
        return ReferencesNotExpected(
            f"This job generates with {row.source} itself; name a source in `await_references` when you submit an"
            " image."
        )
    if row.generated_images:
        return ReferencesConflict(
            f"This job has other generated images of {row.source}; submit the image again to compare both."
        )
    if job.status in (JobStatus.CANCELED, JobStatus.FAILED):
        return ReferencesNotExpected(f"The job {'was canceled' if job.status == JobStatus.CANCELED else 'has failed'}.")
    if found.late or row.state != SourceState.AWAITING_REFERENCE:
        return ReferencesTooLate("The job's deadline has passed; it is ranked with the images it had by then.")
    if job.status == JobStatus.QUEUED or job.stage in _BEFORE_THE_CAPTION:
        return ReferencesTooEarly(
            "The job does not show its caption yet; read it first, and have that generated.",
            headers={"Retry-After": "1"},
        )
    return None
