"""The stages of a job, and what all of them have in common: claim, work outside any transaction, save, enqueue.

Resynthesizing is not among them: it has a task per queue (`workers.resynthesize`).
"""

import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

import structlog

from app.db import blob_repository
from app.db.blobs import Address
from app.db.models import Job, JobSource, SourceSpend, Stage
from app.documents import job_document
from app.errors import JobFailure, ScreeningRefused, ServiceError, StepFailed
from app.jobs import repository, service
from app.jobs.deletion import delete_bytes, delete_refused
from app.queue.steps import notify_step
from app.telemetry import tracing
from app.telemetry.metrics import CACHE_REQUESTS
from app.vendors import budget
from attribution.errors import AttributionError, ConfigurationError
from workers.caption import caption
from workers.embed import embed
from workers.fetch import fetch
from workers.models import Models
from workers.process import Process
from workers.rank import rank
from workers.roles import continues_with_next
from workers.screen import screen
from workers.storage import Storage, discard
from workers.transitions import Advance, BeginRound, Succeed, UseCachedJob, Work, enqueue_stage, store_ended_snapshot

log = structlog.get_logger(__name__)

# If another worker takes the same job at the same moment, a message would be lost, and its job wait for the sweep.
_CLAIMS = 2

# A job in a stage that this process has claimed, too, and what works on it if not the stage's own function.
_Claimed = tuple[Job, Work | None]


def stage_works(process: Process) -> Mapping[Stage, Work]:
    """The function of each stage, with the parts of the process that it needs."""
    settings, storage, models, screening = process.settings, process.storage, process.models, process.screening
    return {
        Stage.FETCHING: partial(fetch, storage, models, screening, process.decoders, process.fetcher),
        Stage.SCREENING: partial(screen, storage, screening, process.decoders),
        Stage.CAPTIONING: partial(caption, storage, models, process.vendors, screening),
        Stage.EMBEDDING: partial(embed, settings, storage, models),
        Stage.RANKING: partial(rank, settings, storage, models),
    }


def captions_remotely(models: Models, job: Job) -> bool:
    """Whether a remote service captions a job's image. A job whose captioner this worker lacks fails without a call."""
    if job.prompt is not None:
        return False
    try:
        return models.captioning(job.method_options.captioner)[1].waits
    except ConfigurationError:
        return False


def run_stage(process: Process, works: Mapping[Stage, Work], stage: Stage, job_id: uuid.UUID) -> None:
    """Runs one stage of a job if it can be claimed, and the stages after it that this process continues with.

    Where several tenants wait for the stage, their turns decide whose job it is. To run it twice, or late, changes
    nothing.
    """
    job = _claim(process, stage, job_id)
    if job is None:
        log.info("stage_not_claimed", job_id=str(job_id), stage=stage.value)
    elif job.notify and stage in (Stage.FETCHING, Stage.SCREENING):
        _notify_start(process.storage, job.id)
    claimed: _Claimed | None = None if job is None else (job, None)
    while claimed is not None:
        job, work = claimed
        at = Stage(cast(str, job.stage))
        with (
            structlog.contextvars.bound_contextvars(job_id=str(job.id), stage=at.value),
            tracing.span(at.value, attributes={"job.id": str(job.id)}),
        ):
            # One stage further at most: a worker that has fetched and screened may have no captioner.
            claimed = _run_claimed(process, job, at, work or works[at], may_continue=at == stage)


def _claim(process: Process, stage: Stage, job_id: uuid.UUID) -> Job | None:
    """Claims the stage of the message's job, or of that of a tenant whose turn it is."""
    settings, turns = process.settings.job, process.turns.get(stage)
    for _ in range(_CLAIMS):
        with process.storage.database.statement() as session:
            if turns is None:
                return repository.claim_stage(session, job_id, stage, settings.lease, settings.attempts)
            job = repository.claim_stage_fairly(
                session, job_id, stage, settings.lease, settings.attempts, turns.ahead, turns.now
            )
        if job is not None:
            turns.advance(job.tenant_id, 1)
            return job
    return None


def _run_claimed(process: Process, job: Job, stage: Stage, work: Work, may_continue: bool) -> _Claimed | None:
    """Works on a claimed stage; returns the job if it has entered a stage that this process has claimed, too."""
    storage = process.storage
    try:
        with storage.leases.hold(job, process.settings.job.step_timeout):
            outcome = work(job)
    except (ServiceError, AttributionError) as error:
        if error.permanent:
            log.warning("stage_failed", error=type(error).__name__)
            _fail(storage, job, error if isinstance(error, ServiceError) else StepFailed(str(error)))
        else:
            _retry(storage, job, error)
    except Exception as error:
        _retry(storage, job, error)
    else:
        if isinstance(outcome, Advance):
            return _advance(process, job, stage, outcome, may_continue)
        if isinstance(outcome, UseCachedJob):
            return _use_cached_job(process, job, stage, outcome, may_continue)
        if isinstance(outcome, BeginRound):
            _begin_round(process, job, outcome)
        else:
            _succeed(storage, job, outcome)
    return None


def _advance(process: Process, job: Job, stage: Stage, outcome: Advance, may_continue: bool) -> _Claimed | None:
    storage, models = process.storage, process.models
    # A remote captioner's task has a thread of its own.
    waits = outcome.to is Stage.CAPTIONING and captions_remotely(models, job)
    continues = may_continue and continues_with_next(stage, process.settings.screening) and not waits
    claim_for = process.settings.job.lease if continues else None
    with storage.database.statement() as session:
        moved, lost = repository.advance(session, job, outcome.to, claim_for, outcome.values, outcome.blobs)
    if moved is None:
        discard(storage, outcome.blobs.values())
        return None
    storage.blobs.put_all(lost)
    if continues:
        return moved, outcome.then
    enqueue_stage(storage, models, job.id, Stage(cast(str, moved.stage)))
    return None


def _begin_round(process: Process, job: Job, outcome: BeginRound) -> None:
    storage = process.storage
    with storage.database.transaction(durable=False) as session:
        moved = service.begin_round(session, job, outcome.race)
    if moved is not None:
        last = outcome.race.rounds[-1]
        log.info("round_begun", round=len(outcome.race.rounds), images=last.images, sources=list(last.sources))
        enqueue_stage(storage, process.models, job.id, Stage.RESYNTHESIZING)


def _use_cached_job(
    process: Process, job: Job, stage: Stage, outcome: UseCachedJob, may_continue: bool
) -> _Claimed | None:
    storage = process.storage
    ttl = storage.cache_settings.ttl
    with storage.database.transaction() as session:
        ended = service.succeed_from_cached_job(session, job, outcome.cached_job_id, ttl, outcome.passed)
        lost = [] if ended is None else blob_repository.insert_references(session, job.id, outcome.otherwise.blobs)
    CACHE_REQUESTS.labels("answer", "hit" if ended is not None else "miss").inc()
    if ended is None:
        return _advance(process, job, stage, outcome.otherwise, may_continue)
    storage.blobs.put_all(lost)
    _publish_success(storage, *ended)
    return None


def _succeed(storage: Storage, job: Job, outcome: Succeed) -> None:
    database = storage.database
    if outcome.skipped is not None:
        with database.transaction() as session:
            left_open = service.succeed_without_sources(session, job, outcome.result, outcome.values, outcome.skipped)
        if left_open is not None:
            store_ended_snapshot(storage, job.tenant_id, job.id)
            if job.notify:
                storage.broker.enqueue([notify_step()])
        return
    # The end and its events are one transaction; an end without events is one statement: three round trips less.
    with database.transaction(durable=False) if job.notify else database.statement() as session:
        ended = service.succeed(session, job, outcome.result, outcome.values)
        spent = () if ended is None else budget.sum_by_source(session, ended)
    if ended is not None:
        _publish_success(storage, ended, outcome.sources, spent)


def _publish_success(
    storage: Storage, job: Job, sources: Sequence[JobSource], spent: Sequence[SourceSpend] = ()
) -> None:
    storage.snapshots.store_ended(job.tenant_id, job_document(job, sources, spent))
    if job.notify:
        storage.broker.enqueue([notify_step()])
    log.info("job_succeeded", cached=job.cached_from is not None)


def _notify_start(storage: Storage, job_id: uuid.UUID) -> None:
    """Before any work is done; once, however often the first stages are claimed."""
    with storage.database.transaction(durable=False) as session:
        inserted = service.start(session, job_id)
    if inserted:
        storage.broker.enqueue([notify_step()])


def _fail(storage: Storage, job: Job, error: ServiceError) -> None:
    unused: Sequence[Address] = ()
    with storage.database.transaction() as session:
        ended = service.fail(session, job, error)
        if ended is not None and isinstance(error, ScreeningRefused):
            unused = delete_refused(session, ended, error)
    if ended is not None:
        delete_bytes(storage.database, storage.blobs, unused)
        store_ended_snapshot(storage, job.tenant_id, job.id)
        if job.notify:
            storage.broker.enqueue([notify_step()])


def _retry(storage: Storage, job: Job, error: Exception) -> None:
    if isinstance(error, JobFailure):  # caused by what the caller submitted
        log.info("stage_retried", attempt=job.attempt, error=type(error).__name__)
    else:
        log.error("stage_error", attempt=job.attempt, exc_info=error)
    if job.attempt >= storage.job_settings.attempts:
        if isinstance(error, JobFailure):
            return _fail(storage, job, error)
        sentence = (
            f"The {job.stage} stage failed {job.attempt} times; the operator's log says why. Submit it again later."
        )
        return _fail(storage, job, StepFailed(sentence))
    with storage.database.statement() as session:
        repository.release_claim(session, job)
    return None
