"""The sweep, by beat every second: ends what is overdue or keeps crashing, and hands on what stands still.

This is what makes an accepted job reach an end whatever died. Each finding has a transaction of its own.
"""

import uuid

import structlog

from app.db.models import Stage
from app.jobs import overdue_repository, repository, service
from app.queue.steps import notify_step, resume_step, sources_step, stage_step
from app.telemetry.metrics import STEPS_REQUEUED, SWEEPS
from workers.process import Process
from workers.stage import end_snapshot, requeue

log = structlog.get_logger(__name__)


def sweep(process: Process) -> None:
    """One round."""
    settings = process.settings.job
    _end_sources(process)
    _cancel(process)
    with process.database.transaction() as session:
        ended = [*service.fail_crashed_jobs(session, settings.attempts), *service.fail_overdue_jobs(session)]
    for job in ended:
        log.warning("job_ended_by_sweep", job_id=str(job.id))
        end_snapshot(process, job.tenant_id, job.id)
    with process.database.transaction(durable=False) as session:
        waiting = overdue_repository.requeue_stale_sources(session, settings.requeue_after)
        standing = overdue_repository.requeue_stale_jobs(session, settings.requeue_after)
        forgotten = overdue_repository.list_sources_with_overdue_waits(session)
    steps = [sources_step(job_id, queue) for job_id, queue in waiting]
    steps += [resume_step(source) for source in forgotten]
    steps += [stage_step(stage, job_id) for job_id, stage in standing]
    if waiting or standing:
        STEPS_REQUEUED.inc(len(waiting) + len(standing))
        log.info("requeued", queues=len(waiting), jobs=len(standing))
    process.broker.enqueue(steps)
    if process.couriers.any_due():
        process.broker.enqueue([notify_step()])
    SWEEPS.inc()


def _cancel(process: Process) -> None:
    """Ends the jobs whose callers said after how long they lose interest."""
    with process.database.transaction(durable=False) as session:
        due = repository.list_due_for_cancellation(session, overdue_repository.BATCH)
    for tenant_id, job_id in due:
        with process.database.transaction() as session:
            canceled = service.cancel(session, tenant_id, job_id)
        if canceled is not None:
            log.info("job_canceled", job_id=str(job_id))
            end_snapshot(process, tenant_id, job_id)


def _end_sources(process: Process) -> None:
    attempts = process.settings.job.attempts
    with process.database.transaction(durable=False) as session:
        overdue = overdue_repository.list_jobs_with_overdue_sources(session)
        crashed = overdue_repository.list_crashed_sources(session, attempts)
    for job_id in overdue:
        with process.database.transaction(durable=False) as session:
            ended = service.end_overdue_sources(session, job_id)
        _requeue(process, job_id, ended.entered)
    for job_id, source in crashed:
        with process.database.transaction(durable=False) as session:
            ended = service.end_crashed_source(session, job_id, source, attempts)
        _requeue(process, job_id, ended.entered)


def _requeue(process: Process, job_id: uuid.UUID, stage: Stage | None) -> None:
    if stage is not None:
        requeue(process, job_id, stage)
