"""Forgetting, by beat: images, texts and results that were kept for as long as their tenant wants, and stray bytes."""

import structlog

from app.cache import images
from app.db import blob_repository
from app.jobs import deletion, idempotency, retention_repository
from workers.process import Process

log = structlog.get_logger(__name__)
_ACTOR = "retention"


def retain(process: Process) -> None:
    """One round; it goes on until nothing is overdue."""
    while _forget(process):
        pass
    while _forget_keys(process):
        pass
    _delete_strays(process)


def evict(process: Process) -> None:
    """Keeps the cache within its bounds. What leaves it stays with its jobs."""
    settings = process.settings.cache
    evicted, portion = 0, images.EVICTED_AT_ONCE
    while portion == images.EVICTED_AT_ONCE:
        with process.database.transaction(durable=False) as session:
            portion = images.evict(session, settings.ttl, settings.max_entries, settings.max_bytes)
        evicted += portion
    if evicted:
        log.info("cache_evicted", uses=evicted)


def _forget(process: Process) -> bool:
    """A portion of each kind; whether there may be more."""
    spans = process.settings.retention
    with process.database.transaction() as session:
        seen, unused = deletion.delete_expired_images(session, spans.images)
        process.blobs.delete_all(unused)
    with process.database.transaction() as session:
        described = deletion.delete_expired_captions(session, spans.captions)
    for tenant_id, job_id in {*seen, *described}:
        process.snapshots.delete(tenant_id, job_id)
    with process.database.transaction(durable=False) as session:
        answered = retention_repository.lock_expired_results(session, spans.results)
    for tenant_id, job_id in answered:
        deletion.delete_job(process.database, process.blobs, process.snapshots, tenant_id, job_id, _ACTOR)
    if seen or described or answered:
        log.info("forgotten", images=len(seen), captions=len(described), results=len(answered))
    return bool(seen or described or answered)


def _forget_keys(process: Process) -> bool:
    """A portion of the idempotency keys past their time; whether there may be more."""
    with process.database.statement() as session:
        return idempotency.delete_expired(session) == idempotency.BATCH


def _delete_strays(process: Process) -> None:
    span = process.settings.retention.unreferenced_after
    with process.database.statement() as session:
        blob_repository.delete_old_tombstones(session, span)
    for addresses in process.blobs.listed(span):
        with process.database.transaction(durable=False) as session:
            unknown = blob_repository.list_unrecorded(session, addresses)
        if unknown:
            with process.database.transaction() as session:
                process.blobs.delete_all(blob_repository.mark_unreferenced_deleted(session, unknown))
            log.warning("strays_deleted", blobs=len(unknown))
