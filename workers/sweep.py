"""The sweep, by beat every second: ends overdue steps and jobs, and requeues stale ones; and retention.

With it, an accepted job reaches an end whatever dies. Each finding has a transaction of its own.
"""

import time

import structlog

from app.cache import images
from app.db import blob_repository
from app.errors import StorageUnavailable
from app.jobs import (
    deletion,
    idempotency,
    overdue_repository,
    repository,
    retention_repository,
    service,
    table_retention,
)
from app.queue.steps import notify_step, resume_step, sources_step, stage_step
from app.settings import RetentionSettings
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


_ACTOR = "retention"


def delete_expired(storage: Storage, settings: RetentionSettings) -> None:
    """Runs one round: until nothing is overdue, or, when there is much, until the next round begins."""
    stop = time.monotonic() + settings.every.total_seconds()
    for work in (_delete_expired_data, _delete_expired_idempotency_keys, _delete_old_rows, _delete_due_bytes):
        while work(storage, settings) and time.monotonic() < stop:
            pass
    _delete_unrecorded_blobs(storage, settings, stop)


# It ranks all cached images of a tenant.
_EVICTION_SECONDS = 300.0


def evict(storage: Storage) -> None:
    """Keeps the cache within its bounds. An evicted image stays with its jobs."""
    settings = storage.cache_settings
    evicted, batch = 0, images.EVICTION_BATCH
    while batch == images.EVICTION_BATCH:
        with storage.database.transaction(durable=False, limit=_EVICTION_SECONDS) as session:
            batch = images.evict(session, settings.ttl, settings.max_entries, settings.max_bytes)
        evicted += batch
    if evicted:
        log.info("cache_evicted", references=evicted)


def _delete_expired_data(storage: Storage, settings: RetentionSettings) -> bool:
    """Deletes a batch of each kind; whether there may be more."""
    with storage.database.transaction() as session:
        without_images = deletion.delete_expired_images(session, settings.images)
    with storage.database.transaction() as session:
        without_captions = deletion.delete_expired_captions(session, settings.captions)
    for tenant_id, job_id in {*without_images, *without_captions}:
        storage.snapshots.delete(tenant_id, job_id)
    with storage.database.transaction(durable=False) as session:
        expired = retention_repository.lock_expired_results(session, settings.results)
    for tenant_id, job_id in expired:
        # Their bytes are deleted together, see `_delete_due_bytes`.
        deletion.delete_rows(storage.database, tenant_id, job_id, _ACTOR, keep_contribution=True)
        storage.snapshots.store_tombstone(tenant_id, job_id)
    if without_images or without_captions or expired:
        log.info(
            "expired_data_deleted", images=len(without_images), captions=len(without_captions), results=len(expired)
        )
    return bool(without_images or without_captions or expired)


def _delete_expired_idempotency_keys(storage: Storage, _: RetentionSettings) -> bool:
    """Deletes a batch; whether there may be more."""
    with storage.database.statement() as session:
        return idempotency.delete_expired(session) == idempotency.BATCH


def _delete_old_rows(storage: Storage, settings: RetentionSettings) -> bool:
    """Deletes a portion of each table's old rows; whether there may be more."""
    tables = (
        (table_retention.delete_audit_entries, settings.audit),
        (table_retention.delete_tombstones, settings.tombstones),
        (table_retention.delete_source_calls, settings.source_calls),
        (table_retention.delete_unusable_keys, settings.keys),
        (table_retention.delete_deliveries, settings.deliveries),
        (table_retention.delete_volumes, settings.volumes),
    )
    more = False
    for delete, span in tables:
        with storage.database.transaction(durable=False) as session:
            more |= delete(session, span) == table_retention.PORTION
    return more


def _delete_due_bytes(storage: Storage, _: RetentionSettings) -> bool:
    """Deletes a portion of the bytes that nothing uses; whether there may be more."""
    try:
        return deletion.delete_due_bytes(storage.database, storage.blobs) == deletion.PORTION
    except StorageUnavailable as error:
        log.warning("bytes_not_deleted", error=error.detail)
        return False


def _delete_unrecorded_blobs(storage: Storage, settings: RetentionSettings, stop: float) -> None:
    with storage.database.statement() as session:
        blob_repository.delete_old_tombstones(session, settings.unreferenced_after)
    try:
        for addresses in storage.blobs.listed(settings.unreferenced_after):
            with storage.database.transaction(durable=False) as session:
                unrecorded = blob_repository.list_unrecorded(session, addresses)
            if unrecorded:
                with storage.database.transaction() as session:
                    unused = blob_repository.mark_unreferenced_deleted(session, unrecorded)
                deletion.delete_bytes(storage.database, storage.blobs, unused)
                log.warning("unrecorded_blobs_deleted", blobs=len(unrecorded))
            if time.monotonic() > stop:
                break
    except StorageUnavailable as error:
        log.warning("blobs_not_listed", error=error.detail)
