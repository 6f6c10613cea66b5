"""Retention and cache eviction, by beat: deletes images, texts and results whose time is over, and unrecorded bytes."""

import structlog

from app.cache import images
from app.db import blob_repository
from app.jobs import deletion, idempotency, retention_repository
from app.settings import RetentionSettings
from workers.storage import Storage

log = structlog.get_logger(__name__)
_ACTOR = "retention"


def delete_expired(storage: Storage, settings: RetentionSettings) -> None:
    """Runs one round, which goes on until nothing is overdue."""
    while _delete_expired_data(storage, settings):
        pass
    while _delete_expired_idempotency_keys(storage):
        pass
    _delete_unrecorded_blobs(storage, settings)


def evict(storage: Storage) -> None:
    """Keeps the cache within its bounds. An evicted image stays with its jobs."""
    settings = storage.cache_settings
    evicted, batch = 0, images.EVICTION_BATCH
    while batch == images.EVICTION_BATCH:
        with storage.database.transaction(durable=False) as session:
            batch = images.evict(session, settings.ttl, settings.max_entries, settings.max_bytes)
        evicted += batch
    if evicted:
        log.info("cache_evicted", references=evicted)


def _delete_expired_data(storage: Storage, settings: RetentionSettings) -> bool:
    """Deletes a batch of each kind; whether there may be more."""
    with storage.database.transaction() as session:
        without_images, unused = deletion.delete_expired_images(session, settings.images)
        storage.blobs.delete_all(unused)
    with storage.database.transaction() as session:
        without_captions = deletion.delete_expired_captions(session, settings.captions)
    for tenant_id, job_id in {*without_images, *without_captions}:
        storage.snapshots.delete(tenant_id, job_id)
    with storage.database.transaction(durable=False) as session:
        expired = retention_repository.lock_expired_results(session, settings.results)
    for tenant_id, job_id in expired:
        deletion.delete_job(
            storage.database, storage.blobs, storage.snapshots, tenant_id, job_id, _ACTOR, keep_contribution=True
        )
    if without_images or without_captions or expired:
        log.info(
            "expired_data_deleted", images=len(without_images), captions=len(without_captions), results=len(expired)
        )
    return bool(without_images or without_captions or expired)


def _delete_expired_idempotency_keys(storage: Storage) -> bool:
    """Deletes a batch; whether there may be more."""
    with storage.database.statement() as session:
        return idempotency.delete_expired(session) == idempotency.BATCH


def _delete_unrecorded_blobs(storage: Storage, settings: RetentionSettings) -> None:
    with storage.database.statement() as session:
        blob_repository.delete_old_tombstones(session, settings.unreferenced_after)
    for addresses in storage.blobs.listed(settings.unreferenced_after):
        with storage.database.transaction(durable=False) as session:
            unrecorded = blob_repository.list_unrecorded(session, addresses)
        if unrecorded:
            with storage.database.transaction() as session:
                storage.blobs.delete_all(blob_repository.mark_unreferenced_deleted(session, unrecorded))
            log.warning("unrecorded_blobs_deleted", blobs=len(unrecorded))
