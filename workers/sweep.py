"""The night watch, by beat every second: ends what is overdue or keeps crashing, and hands on what stands still.

This is what makes an accepted job reach an end whatever died. Each finding has a transaction of its own.
"""

import uuid

import structlog

from app.metrics import STEPS_HANDED_ON, SWEEPS
from app.queue.steps import notify_step, resume_step, sources_step, stage_step
from app.store import jobs
from app.store import sweep as watch
from app.store.models import Stage
from workers.process import Process
from workers.stage import end_snapshot, hand_on

log = structlog.get_logger(__name__)


def sweep(process: Process) -> None:
    """One round."""
    settings = process.settings.job
    _end_sources(process)
    _cancel(process)
    with process.database.transaction() as session:
        ended = [*watch.end_crashed_jobs(session, settings.attempts), *watch.end_overdue_jobs(session)]
    for job in ended:
        log.warning("job_ended_by_sweep", job_id=str(job.job_id))
        end_snapshot(process, job.tenant_id, job.job_id)
    with process.database.transaction(durable=False) as session:
        waiting = watch.hand_on_sources(session, settings.hand_on_after)
        standing = watch.hand_on_jobs(session, settings.hand_on_after)
        forgotten = watch.waited_for(session)
    steps = [sources_step(job_id, queue) for job_id, queue in waiting]
    steps += [resume_step(source) for source in forgotten]
    steps += [stage_step(job.stage, job.job_id) for job in standing if job.stage is not None]
    if waiting or standing:
        STEPS_HANDED_ON.inc(len(waiting) + len(standing))
        log.info("handed_on", queues=len(waiting), jobs=len(standing))
    process.broker.enqueue(steps)
    if process.couriers.any_due():
        process.broker.enqueue([notify_step()])
    SWEEPS.inc()


def _cancel(process: Process) -> None:
    """Ends the jobs whose callers said after how long they lose interest."""
    with process.database.transaction(durable=False) as session:
        due = jobs.to_cancel(session, watch.BATCH)
    for tenant_id, job_id in due:
        with process.database.transaction() as session:
            canceled = jobs.cancel(session, tenant_id, job_id)
        if canceled is not None:
            log.info("job_canceled", job_id=str(job_id))
            end_snapshot(process, tenant_id, job_id)


def _end_sources(process: Process) -> None:
    attempts = process.settings.job.attempts
    with process.database.transaction(durable=False) as session:
        overdue = watch.overdue_jobs(session)
        crashed = watch.crashed_sources(session, attempts)
    for job_id in overdue:
        with process.database.transaction(durable=False) as session:
            stage = watch.end_overdue_sources(session, job_id)
        _hand_on(process, job_id, stage)
    for job_id, source in crashed:
        with process.database.transaction(durable=False) as session:
            stage = watch.end_crashed_source(session, job_id, source, attempts)
        _hand_on(process, job_id, stage)


def _hand_on(process: Process, job_id: uuid.UUID, stage: Stage | None) -> None:
    if stage is not None:
        hand_on(process, job_id, stage)
