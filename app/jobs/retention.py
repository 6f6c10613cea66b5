"""The repository's memory span: which ended jobs have kept their images, texts or results for long enough.

Each tenant has its own retention, or the installation's. Every function works on a bounded number of rows.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.cache import images
from app.db import blobs
from app.db.blobs import Address
from app.jobs import idempotency

BATCH = 200
JobRef = tuple[uuid.UUID, uuid.UUID]  # tenant, job


def _overdue(span: str, deleted: str) -> str:
    """Jobs whose tenant's span has passed: per tenant a walk along an index, however many jobs others have."""
    return f"""
        SELECT t.id AS tenant_id, j.id FROM tenants t CROSS JOIN LATERAL (
            SELECT id FROM jobs
            WHERE tenant_id = t.id AND completed_at IS NOT NULL AND {deleted} IS NULL
                  AND completed_at < now() - coalesce(t.{span}, :span)
            ORDER BY completed_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED
        ) j
        """  # noqa: S608 - our own words


_IMAGES = text(
    f"""
    WITH overdue AS ({_overdue("retain_images", "images_deleted_at")})
    UPDATE jobs SET images_deleted_at = clock_timestamp(), query_blob = NULL, image_url = NULL,
        result_key = NULL
    FROM overdue WHERE jobs.id = overdue.id
    RETURNING overdue.tenant_id, overdue.id
    """  # noqa: S608 - our own words
)
_CAPTIONS = text(
    f"""
    WITH overdue AS ({_overdue("retain_captions", "captions_deleted_at")})
    UPDATE jobs SET captions_deleted_at = clock_timestamp(), prompt = NULL, caption = NULL, evidence = NULL,
        result_key = NULL,
        result = CASE WHEN result IS NULL THEN NULL ELSE jsonb_set(result, '{{caption}}', 'null') END
    FROM overdue WHERE jobs.id = overdue.id
    RETURNING overdue.tenant_id, overdue.id
    """  # noqa: S608 - our own words
)
# What vendors made of the caption.
_RESYNTHESIZED = text(
    """
    UPDATE job_sources SET generated_images = (
        SELECT jsonb_agg(generated_image - 'prompt' ORDER BY place) FROM jsonb_array_elements(generated_images)
            WITH ORDINALITY AS each (generated_image, place)
    )
    WHERE job_id = ANY(:jobs) AND generated_images @? '$[*].prompt'
    """
)
_RESULTS = text(_overdue("retain_results", "deleted_at"))


def delete_expired_images(session: Session, span: timedelta) -> tuple[Sequence[JobRef], list[Address]]:
    """Lets go of pixels. Returns the jobs, and the bytes to delete before the commit. The vectors stay."""
    jobs = _owned(session, _IMAGES, span)
    used: list[Address] = []
    for _, job_id in jobs:
        used += blobs.delete_references(session, job_id, except_for=["features"])
    return jobs, used


def delete_expired_captions(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Lets go of captions, prompts and what files said of themselves."""
    jobs = _owned(session, _CAPTIONS, span)
    if jobs:
        session.execute(_RESYNTHESIZED, {"jobs": [job_id for _, job_id in jobs]})
        images.clear_keys(session, [job_id for _, job_id in jobs])
    idempotency.clear_bodies(session, [job_id for _, job_id in jobs])
    return jobs


def list_expired_results(session: Session, span: timedelta) -> Sequence[JobRef]:
    """Jobs that are to be deleted whole."""
    return _owned(session, _RESULTS, span)


def _owned(session: Session, statement: object, span: timedelta) -> Sequence[JobRef]:
    rows = session.execute(statement, {"span": span})  # type: ignore[call-overload]
    return [(tenant_id, job_id) for tenant_id, job_id in rows]
