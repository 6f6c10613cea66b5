"""Reference images that the caller uploads: they are screened like the query image before anything else reads them.

References that are uploaded with the image are screened in the stage `screening`. References that a job awaits are
screened here, as a step of their source. A hit ends the job, whichever of its images it is in.
"""

import uuid
from datetime import timedelta
from functools import partial

import structlog

from app.db.blobs import Address, Blobs
from app.db.models import JobSource
from app.errors import ScreeningRefused
from app.jobs import service, source_repository
from app.jobs.deletion import delete_bytes, delete_refused
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.queue.steps import REFERENCE_QUEUE, notify_step
from attribution.ports import SourceState
from workers.models import Models
from workers.screening import QueryImage, Screening
from workers.storage import Storage
from workers.transitions import enqueue_stage, store_ended_snapshot

log = structlog.get_logger(__name__)

_NOT_SCREENED = "Its generated images could not be screened; the operator's log says why. Submit the image again later."


def accept_references(storage: Storage, models: Models, screening: Screening, job_id: uuid.UUID) -> None:
    """Screens the references that were uploaded for a job's sources, and ends those sources as done.

    To run it twice changes nothing.
    """
    settings = storage.job_settings
    with storage.database.statement() as session:
        claims = source_repository.claim_in_queue(session, job_id, REFERENCE_QUEUE, settings.lease, settings.attempts)
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        for claim in claims:
            _accept(storage, models, screening, claim)


def screen_references(blobs: Blobs, screening: Screening, row: JobSource) -> None:
    """Raises ScreeningRefused at the first image that a hook refuses, and what the hooks raise."""
    for image in row.generated_images:
        read = partial(blobs.get, row.tenant_id, image.blob)
        screening.check_image(QueryImage(row.tenant_id, row.job_id, read))


def _accept(storage: Storage, models: Models, screening: Screening, claim: SourceClaim) -> None:
    row = claim.row
    try:
        with storage.leases.hold(row, timedelta(seconds=row.timeout_seconds)):
            screen_references(storage.blobs, screening, row)
    except ScreeningRefused as error:
        _refuse(storage, claim, error)
    except Exception as error:
        log.error("references_error", source=row.source, attempt=row.attempt, exc_info=error)
        if row.attempt < storage.job_settings.attempts:
            with storage.database.statement() as session:
                source_repository.release_claim(session, row)
        else:
            _save(storage, models, claim, SourceOutcome(row, SourceState.ERROR, _NOT_SCREENED, row.generated_images))
    else:
        _save(storage, models, claim, SourceOutcome(row, SourceState.DONE, None, row.generated_images))


def _save(storage: Storage, models: Models, claim: SourceClaim, outcome: SourceOutcome) -> None:
    job_id = claim.row.job_id
    with storage.database.transaction(durable=False) as session:
        ended = service.end_sources(session, job_id, [outcome])
    log.info("references_screened", source=claim.row.source, state=outcome.state.value)
    if claim.notify:
        storage.broker.enqueue([notify_step()])
    enqueue_stage(storage, models, job_id, ended.entered)


def _refuse(storage: Storage, claim: SourceClaim, error: ScreeningRefused) -> None:
    """Ends the job and deletes its images and texts."""
    row, unused = claim.row, list[Address]()
    with storage.database.transaction() as session:
        ended = service.fail_from_source(session, row, error)
        if ended is not None:
            unused = delete_refused(session, ended, error)
    if ended is not None:
        delete_bytes(storage.database, storage.blobs, unused)
        log.warning("references_refused", source=row.source)
        store_ended_snapshot(storage, row.tenant_id, row.job_id)
        if claim.notify:
            storage.broker.enqueue([notify_step()])
