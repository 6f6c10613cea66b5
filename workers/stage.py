"""The shape that every stage of a job has: claim it, work outside any transaction, save, hand on."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.documents import job_document
from app.errors import Screened, ServiceError, StepFailed
from app.queue.steps import stage_step
from app.store import blobs, jobs
from app.store.blobs import StoredBlob
from app.store.models import Job, Stage
from attribution.errors import AttributionError
from workers.fan_out import fan_out
from workers.process import Process

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage is done: the job's next one, what its row shall say, and the blobs it now uses."""

    to: Stage
    values: Mapping[str, Any] = field(default_factory=dict)
    blobs: dict[str, StoredBlob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job is done: its result document."""

    result: dict[str, Any]


Work = Callable[[Process, Job], Advance | Succeed]


def run_stage(process: Process, stage: Stage, job_id: uuid.UUID, work: Work) -> None:
    """Runs one stage of one job if it is there to be run. Doing so twice, or late, changes nothing."""
    settings = process.settings.job
    with structlog.contextvars.bound_contextvars(job_id=str(job_id), stage=stage.value):
        with process.database.statement() as session:
            job = jobs.claim(session, job_id, stage, settings.lease, settings.attempts)
        if job is None:
            log.info("stage_not_claimed")
            return None
        try:
            with process.leases.hold(job, settings.step_timeout):
                outcome = work(process, job)
        except (ServiceError, AttributionError) as error:
            if not error.permanent:
                return _retry(process, job, error)
            log.warning("stage_refused", error=type(error).__name__)
            return _fail(process, job, error if isinstance(error, ServiceError) else StepFailed(str(error)))
        except Exception as error:
            return _retry(process, job, error)
        if isinstance(outcome, Succeed):
            return _succeed(process, job, outcome)
        return _advance(process, job, outcome)


def hand_on(process: Process, job_id: uuid.UUID, stage: Stage) -> None:
    """Enqueues what a job's new stage needs: one message, or one per queue of its sources."""
    if stage == Stage.RESYNTHESISING:
        fan_out(process, job_id)
    else:
        process.broker.enqueue([stage_step(stage, job_id)])


def end_snapshot(process: Process, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Shows a job's end to those who poll."""
    with process.database.transaction(durable=False) as session:
        job = jobs.find(session, tenant_id, job_id)
        if job is None:
            return
        document = job_document(job, jobs.sources_of(session, job_id))
    process.snapshots.end(tenant_id, document)


def _advance(process: Process, job: Job, outcome: Advance) -> None:
    with process.database.transaction(durable=False) as session:
        stood = jobs.advance(session, job, outcome.to, **outcome.values)
        if stood:
            blobs.refer(session, job.id, outcome.blobs)
    if stood:
        hand_on(process, job.id, outcome.to)


def _succeed(process: Process, job: Job, outcome: Succeed) -> None:
    with process.database.transaction() as session:
        ended = jobs.succeed(session, job, outcome.result)
        rows = jobs.sources_of(session, job.id)
    if ended is not None:
        process.snapshots.end(job.tenant_id, job_document(ended, rows))
        log.info("job_succeeded")


def _fail(process: Process, job: Job, error: ServiceError) -> None:
    with process.database.transaction() as session:
        stood = jobs.fail(session, job, error)
        if stood and isinstance(error, Screened):
            # Before the commit: with the store away this raises, and the stage is tried again until they are gone.
            for tenant_id, sha256 in blobs.forget(session, job.id):
                process.blobs.delete(tenant_id, sha256)
    if stood:
        end_snapshot(process, job.tenant_id, job.id)


def _retry(process: Process, job: Job, error: Exception) -> None:
    log.error("stage_error", attempt=job.attempt, exc_info=error)
    if job.attempt >= process.settings.job.attempts:
        sentence = (
            f"The {job.stage} stage failed {job.attempt} times; the operator's log says why. Submit it again later."
        )
        return _fail(process, job, StepFailed(sentence))
    with process.database.statement() as session:
        jobs.release(session, job)
    return None
