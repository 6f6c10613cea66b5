"""Reference images that the caller uploads: they are judged like the image in question before anything looks at them.

Those that come with the image are judged at the stage `screening`; those that a job waited for, here, as a step of
their source. A hit ends the job, whichever of its images it is in.
"""

import uuid
from datetime import timedelta
from functools import partial

import structlog

from app.db.models import JobSource
from app.errors import ScreeningRefused, StorageUnavailable
from app.jobs import service, source_repository
from app.jobs.deletion import delete_refused
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.queue.steps import REFERENCE_QUEUE, notify_step
from attribution.ports import SourceState
from workers.process import Process
from workers.screening import QueryImage
from workers.stage import end_snapshot, requeue

log = structlog.get_logger(__name__)

_UNSCREENED = "Its generated images could not be screened; the operator's log says why. Submit the image again later."


def take_in(process: Process, job_id: uuid.UUID) -> None:
    """Screens what was brought of a job's sources, and counts those as done. Doing so twice changes nothing."""
    settings = process.settings.job
    with process.database.statement() as session:
        claims = source_repository.claim_in_queue(session, job_id, REFERENCE_QUEUE, settings.lease, settings.attempts)
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        for claim in claims:
            _take_in(process, claim)


def _take_in(process: Process, claim: SourceClaim) -> None:
    row = claim.row
    try:
        with process.leases.hold(row, timedelta(seconds=row.timeout_seconds)):
            screen_references(process, row)
    except ScreeningRefused as error:
        try:
            _refuse(process, claim, error)
        except StorageUnavailable:  # however often it takes: what is refused is not kept
            with process.database.statement() as session:
                source_repository.release_claim_uncounted(session, row)
    except Exception as error:
        log.error("references_error", source=row.source, attempt=row.attempt, exc_info=error)
        if row.attempt < process.settings.job.attempts:
            with process.database.statement() as session:
                source_repository.release_claim(session, row)
        else:
            _save(process, claim, SourceOutcome(row, SourceState.ERROR, _UNSCREENED, row.generated_images))
    else:
        _save(process, claim, SourceOutcome(row, SourceState.DONE, None, row.generated_images))


def screen_references(process: Process, row: JobSource) -> None:
    """Raises ScreeningRefused at the first generated image that a hook says no to, and what the hooks raise."""
    for image in row.generated_images:
        read = partial(process.blobs.get, row.tenant_id, image.blob)
        process.screening.check_image(QueryImage(row.tenant_id, row.job_id, read))


def _save(process: Process, claim: SourceClaim, outcome: SourceOutcome) -> None:
    job_id = claim.row.job_id
    with process.database.transaction(durable=False) as session:
        ended = service.end_sources(session, job_id, [outcome])
    log.info("references_taken_in", source=claim.row.source, state=outcome.state.value)
    if claim.notify:
        process.broker.enqueue([notify_step()])
    if ended.entered is not None:
        requeue(process, job_id, ended.entered)


def _refuse(process: Process, claim: SourceClaim, error: ScreeningRefused) -> None:
    """Ends the job, and keeps nothing of it. Raises StorageUnavailable where that cannot be done now."""
    row = claim.row
    with process.database.transaction() as session:
        ended = service.fail_from_source(session, row, error)
        if ended is not None:
            delete_refused(session, process.blobs, ended, error)
    if ended is not None:
        log.warning("references_refused", source=row.source)
        end_snapshot(process, row.tenant_id, row.job_id)
        if claim.notify:
            process.broker.enqueue([notify_step()])
