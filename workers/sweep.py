"""The sweep, by beat every second: ends steps and jobs that are overdue or keep crashing, and requeues stale steps.

With it, an accepted job reaches an end whatever dies. Each finding has a transaction of its own.
"""

import structlog

from app.jobs import overdue_repository, repository, service
from app.queue.steps import notify_step, resume_step, sources_step, stage_step
from app.telemetry.metrics import STEPS_REQUEUED, SWEEPS
from workers.models import Models
from workers.notify import WebhookSender
from workers.storage import Storage
from workers.transitions import enqueue_stage, store_ended_snapshot

log = structlog.get_logger(__name__)


def sweep(storage: Storage, models: Models, webhooks: WebhookSender) -> None:
    """Runs one round."""
    settings = storage.job_settings
    _end_sources(storage, models)
    _cancel(storage)
    with storage.database.transaction() as session:
        ended = [*service.fail_crashed_jobs(session, settings.attempts), *service.fail_overdue_jobs(session)]
    for job in ended:
        log.warning("job_ended_by_sweep", job_id=str(job.id))
        store_ended_snapshot(storage, job.tenant_id, job.id)
    with storage.database.transaction(durable=False) as session:
        sources = overdue_repository.requeue_stale_sources(session, settings.requeue_after)
        jobs = overdue_repository.requeue_stale_jobs(session, settings.requeue_after)
        delayed = overdue_repository.list_sources_with_overdue_waits(session)
    steps = [sources_step(job_id, queue) for job_id, queue in sources]
    steps += [resume_step(source) for source in delayed]
    steps += [stage_step(stage, job_id) for job_id, stage in jobs]
    if sources or jobs:
        STEPS_REQUEUED.inc(len(sources) + len(jobs))
        log.info("requeued", queues=len(sources), jobs=len(jobs))
    storage.broker.enqueue(steps)
    if webhooks.any_due():
        storage.broker.enqueue([notify_step()])
    SWEEPS.inc()


def _cancel(storage: Storage) -> None:
    """Cancels the jobs whose `cancel_after` has passed."""
    with storage.database.transaction(durable=False) as session:
        due = repository.list_due_for_cancellation(session, overdue_repository.BATCH)
    for tenant_id, job_id in due:
        with storage.database.transaction() as session:
            canceled = service.cancel(session, tenant_id, job_id)
        if canceled is not None:
            log.info("job_canceled", job_id=str(job_id))
            store_ended_snapshot(storage, tenant_id, job_id)


def _end_sources(storage: Storage, models: Models) -> None:
    attempts = storage.job_settings.attempts
    with storage.database.transaction(durable=False) as session:
        overdue = overdue_repository.list_jobs_with_overdue_sources(session)
        crashed = overdue_repository.list_crashed_sources(session, attempts)
    for job_id in overdue:
        with storage.database.transaction(durable=False) as session:
            ended = service.end_overdue_sources(session, job_id)
        enqueue_stage(storage, models, job_id, ended.entered)
    for job_id, source in crashed:
        with storage.database.transaction(durable=False) as session:
            ended = service.end_crashed_source(session, job_id, source, attempts)
        enqueue_stage(storage, models, job_id, ended.entered)
