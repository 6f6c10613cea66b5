"""The shape that every stage of a job has: claim it, work outside any transaction, save, hand on."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from app.db import blob_repository
from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, SourceSpend, Stage
from app.documents import job_document
from app.errors import JobFailure, ScreeningRefused, ServiceError, StepFailed
from app.jobs import repository, service, source_repository
from app.jobs.cached_result import PassedScreening
from app.jobs.deletion import delete_refused
from app.queue.steps import notify_step, stage_step
from app.telemetry import tracing
from app.telemetry.metrics import CACHE_REQUESTS
from app.vendors import budget
from attribution.errors import AttributionError, ConfigurationError
from workers.discard import discard
from workers.fan_out import fan_out
from workers.process import Process
from workers.roles import goes_on

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage is done: the job's next one, what its row shall say, and the blobs it now uses.

    `then` is how this process goes on with the next stage, if it does: with what it would have to read again.
    """

    to: Stage
    values: Mapping[str, Any] = field(default_factory=dict)
    blobs: dict[str, StoredBlob] = field(default_factory=dict)
    then: "Work | None" = None


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job is done: its result document, and the sources it is about, which do not change any more."""

    result: dict[str, Any]
    sources: Sequence[JobSource]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reuse:
    """Another job may have the answer already, and this one has passed screening; otherwise the stage is done."""

    donor: uuid.UUID
    passed: PassedScreening
    otherwise: Advance


Work = Callable[[Process, Job], Advance | Succeed | Reuse]
# A job in a stage that this process has claimed, too, and how it goes on if not in the default way.
GoesOn = tuple[Job, Work | None]


def run_stage(process: Process, works: Mapping[Stage, Work], stage: Stage, job_id: uuid.UUID) -> None:
    """Runs one stage of one job if it is there to be run, and those after it that this process goes on with.

    Doing so twice, or late, changes nothing.
    """
    settings = process.settings.job
    with process.database.statement() as session:
        job = repository.claim_stage(session, job_id, stage, settings.lease, settings.attempts)
    if job is None:
        log.info("stage_not_claimed", job_id=str(job_id), stage=stage.value)
    elif job.notify and stage in (Stage.FETCHING, Stage.SCREENING):
        _tell_start(process, job_id)
    claimed: GoesOn | None = None if job is None else (job, None)
    while claimed is not None:
        job, work = claimed
        at = Stage(cast(str, job.stage))
        with (
            structlog.contextvars.bound_contextvars(job_id=str(job_id), stage=at.value),
            tracing.span(at.value, attributes={"job.id": str(job_id)}),
        ):
            claimed = _work(process, job, at, work or works[at])


def _work(process: Process, job: Job, stage: Stage, work: Work) -> GoesOn | None:
    """Works on a claimed stage; returns the job if it has entered a stage that this process has claimed, too."""
    try:
        with process.leases.hold(job, process.settings.job.step_timeout):
            outcome = work(process, job)
    except (ServiceError, AttributionError) as error:
        if error.permanent:
            log.warning("stage_refused", error=type(error).__name__)
            _fail(process, job, error if isinstance(error, ServiceError) else StepFailed(str(error)))
        else:
            _retry(process, job, error)
    except Exception as error:
        _retry(process, job, error)
    else:
        if isinstance(outcome, Advance):
            return _advance(process, job, stage, outcome)
        if isinstance(outcome, Reuse):
            return _reuse(process, job, stage, outcome)
        _succeed(process, job, outcome)
    return None


def requeue(process: Process, job_id: uuid.UUID, stage: Stage) -> None:
    """Enqueues what a job's new stage needs: one message, or one per queue of its sources."""
    if stage == Stage.RESYNTHESIZING:
        fan_out(process, job_id)
    else:
        process.broker.enqueue([stage_step(stage, job_id)])


def end_snapshot(process: Process, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Shows a job's end to those who poll."""
    with process.database.transaction(durable=False) as session:
        job = repository.get_by_id(session, tenant_id, job_id)
        if job is None or job.deleted_at is not None:
            return
        document = job_document(
            job, source_repository.list_for_job(session, job_id), budget.sum_by_source(session, job)
        )
    process.snapshots.store_ended(tenant_id, document)


def _advance(process: Process, job: Job, stage: Stage, outcome: Advance) -> GoesOn | None:
    on = goes_on(stage, process.settings.screening) and not _waits(process, job, outcome.to)
    claim_for = process.settings.job.lease if on else None
    with process.database.statement() as session:
        moved, lost = repository.advance(session, job, outcome.to, claim_for, outcome.values, outcome.blobs)
    if moved is None:
        discard(process, outcome.blobs.values())
        return None
    process.blobs.put_all(lost)
    if on:
        return moved, outcome.then
    requeue(process, job.id, Stage(cast(str, moved.stage)))
    return None


def _waits(process: Process, job: Job, stage: Stage) -> bool:
    """Whether the stage waits for somebody else's answer: its task then has a thread for it."""
    return stage is Stage.CAPTIONING and captions_remotely(process, job)


def captions_remotely(process: Process, job: Job) -> bool:
    """Whether a job's image is described by somebody else. One whose captioner this worker lacks fails at once."""
    if job.prompt is not None:
        return False
    try:
        return process.models.captioning(job.method_options.captioner)[1].waits
    except ConfigurationError:
        return False


def _tell_start(process: Process, job_id: uuid.UUID) -> None:
    """Before any work is done; once, however often the first stages are claimed."""
    with process.database.transaction(durable=False) as session:
        told = service.start(session, job_id)
    if told:
        process.broker.enqueue([notify_step()])


def _succeed(process: Process, job: Job, outcome: Succeed) -> None:
    database = process.database
    # An end and what tells of it are one transaction; an end by itself is one statement: three round trips less.
    with database.transaction(durable=False) if job.notify else database.statement() as session:
        ended = service.succeed(session, job, outcome.result, outcome.values)
        spent = () if ended is None else budget.sum_by_source(session, ended)
    if ended is not None:
        _tell_success(process, ended, outcome.sources, spent)


def _reuse(process: Process, job: Job, stage: Stage, outcome: Reuse) -> GoesOn | None:
    ttl = process.settings.cache.ttl
    with process.database.transaction() as session:
        found = service.succeed_from_cached_job(session, job, outcome.donor, ttl, outcome.passed)
        lost = [] if found is None else blob_repository.insert_references(session, job.id, outcome.otherwise.blobs)
    CACHE_REQUESTS.labels("answer", "hit" if found is not None else "miss").inc()
    if found is None:
        return _advance(process, job, stage, outcome.otherwise)
    process.blobs.put_all(lost)
    _tell_success(process, *found)
    return None


def _tell_success(process: Process, job: Job, sources: Sequence[JobSource], spent: Sequence[SourceSpend] = ()) -> None:
    process.snapshots.store_ended(job.tenant_id, job_document(job, sources, spent))
    if job.notify:
        process.broker.enqueue([notify_step()])
    log.info("job_succeeded", cached=job.cached_from is not None)


def _fail(process: Process, job: Job, error: ServiceError) -> None:
    with process.database.transaction() as session:
        ended = service.fail(session, job, error)
        if ended is not None and isinstance(error, ScreeningRefused):
            delete_refused(session, process.blobs, ended, error)
    if ended is not None:
        end_snapshot(process, job.tenant_id, job.id)
        if job.notify:
            process.broker.enqueue([notify_step()])


def _retry(process: Process, job: Job, error: Exception) -> None:
    if isinstance(error, JobFailure):  # its caller's doing
        log.info("stage_to_be_repeated", attempt=job.attempt, error=type(error).__name__)
    else:
        log.error("stage_error", attempt=job.attempt, exc_info=error)
    if job.attempt >= process.settings.job.attempts:
        if isinstance(error, JobFailure):
            return _fail(process, job, error)
        sentence = (
            f"The {job.stage} stage failed {job.attempt} times; the operator's log says why. Submit it again later."
        )
        return _fail(process, job, StepFailed(sentence))
    with process.database.statement() as session:
        repository.release_claim(session, job)
    return None
