"""SQL of retention: which ended jobs have kept their images, captions or results for long enough.

Each tenant has its own retention, or the installation's. Every function works on a bounded number of rows, and leaves
out those that another process has locked.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

BATCH = 200
JobRef = tuple[uuid.UUID, uuid.UUID]  # tenant, job


def lock_expired_images(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs whose images are to be deleted, oldest first, for tenants without a span of their own after `span`."""
    return _lock(session, _IMAGES, span)


def lock_expired_captions(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs whose captions are to be deleted, as `lock_expired_images`."""
    return _lock(session, _CAPTIONS, span)


def lock_expired_results(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs that are to be deleted whole, as `lock_expired_images`."""
    return _lock(session, _RESULTS, span)


def _lock(session: Session, statement: TextClause, span: timedelta) -> Sequence[JobRef]:
    return [(tenant_id, job_id) for tenant_id, job_id in session.execute(statement, {"span": span})]


def _expired(span: str, deleted: str) -> TextClause:
    """Per tenant a walk along an index, however many jobs other tenants have."""
    return text(
        f"""
        SELECT t.id AS tenant_id, j.id FROM tenants t CROSS JOIN LATERAL (
            SELECT id FROM jobs
            WHERE tenant_id = t.id AND completed_at IS NOT NULL AND {deleted} IS NULL
                  AND completed_at < now() - coalesce(t.{span}, :span)
            ORDER BY completed_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED
        ) j
        """  # noqa: S608 - our own words
    )


_IMAGES = _expired("retain_images", "images_deleted_at")
_CAPTIONS = _expired("retain_captions", "captions_deleted_at")
_RESULTS = _expired("retain_results", "deleted_at")
