"""Ends a job with the result of another one: its rows are copied, and it refers to the same bytes.

So each of the two can be deleted without the other. The other job is locked meanwhile: it is whole, or it is not used.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.cache.results import IS_CACHED_JOB, match_parameters
from app.db.blob_repository import ORIGINAL
from app.db.models import Job, JobSource
from app.jobs.repository import ENDING, OF_JOBS, returning_jobs, set_clause
from app.screening.repository import SCREENING_FINGERPRINT


@dataclass(frozen=True, slots=True)
class PassedScreening:
    """A job has just passed screening: by what rules and lists, None where that is unknown; and what its file says.

    `image` is what was found out about the file, None where it was not decoded again.
    """

    fingerprint: str | None
    evidence: Sequence[Mapping[str, Any]] = ()
    image: Mapping[str, Any] | None = None


def mark_succeeded_from_cached_job(
    session: Session, job: Job, cached_job_id: uuid.UUID, ttl: timedelta, passed: PassedScreening | None = None
) -> tuple[Job, Sequence[JobSource]] | None:
    """Ends an open job with the result of another; the job and its sources as they are now, or None.

    None where the other may not be used any more, or the job is not at the stage that its row says. A job that has
    not `passed` screening itself only takes the result of one that passed exactly the present lists and rules.
    """
    given = match_parameters(job, ttl) | {"id": job.id, "local_only": job.local_only, "cached_job_id": cached_job_id}
    given |= {"passed": passed is not None, "screening_fingerprint": passed and passed.fingerprint}
    given["findings"] = json.dumps(list(passed.evidence)) if passed is not None else None
    given["image"] = json.dumps(passed.image) if passed is not None and passed.image is not None else None
    given |= {"stage": job.stage, "attempt": job.attempt or 0}
    ended = session.scalars(_END, given, execution_options={"populate_existing": True}).one_or_none()
    if ended is None:
        return None
    rows = session.scalars(_COPY_SOURCES, given, execution_options={"populate_existing": True}).all()
    return ended, sorted(rows, key=lambda row: row.position)


# The file is the same. Where it was read again, only the watermark's finding is taken from the other job.
_EVIDENCE = """
    CASE WHEN :passed THEN jsonb_build_object('findings', CAST(:findings AS jsonb) || coalesce(
             jsonb_path_query_array(cached_evidence, '$.findings[*] ? (@.kind == "watermark")'), '[]'))
         ELSE cached_evidence END
"""
_IMAGE = """
    coalesce(CAST(:image AS jsonb), image || jsonb_build_object('quality', cached_image -> 'quality'))
"""
_ANSWER = {
    **{
        name: f"cached_{name}"
        for name in ("result", "caption", "captioner", "embedder", "features_blob", "pipeline_fingerprint")
    },
    "query_blob": "coalesce(query_blob, cached_query_blob)",
    "evidence": _EVIDENCE,
    "image": _IMAGE,
    "screening_fingerprint": "CASE WHEN :passed THEN CAST(:screening_fingerprint AS text)"
    " ELSE cached_screening_fingerprint END",
    "result_computed_at": "coalesce(cached_result_computed_at, cached_completed_at)",
    "cached_from": "cached_id",
    "contributes": "NULL",
    "started_at": "coalesce(started_at, clock_timestamp())",
}
# Deletion locks a job first and its blobs then: a transaction that has locked a blob must not wait for the job, so
# SKIP LOCKED. A job that was deleted since this statement began is read again as its lock is taken, and is not usable
# then. All references are copied but the upload's: the job has the same one itself.
_END = returning_jobs(
    f"""
        WITH cached AS (
            SELECT {", ".join(f"d.{column.name} AS cached_{column.name}" for column in Job.__table__.columns)}
            FROM jobs d
            WHERE d.id = :cached_job_id AND d.local_only = :local_only AND {IS_CACHED_JOB}
                  AND (:passed OR d.screening_fingerprint = {SCREENING_FINGERPRINT})
            FOR SHARE OF d SKIP LOCKED
        ), ended AS (
            UPDATE jobs SET {set_clause({**ENDING, **_ANSWER})}, status = 'succeeded'
            FROM cached
            WHERE id = :id AND status IN ('queued', 'processing') AND stage = :stage AND attempt = :attempt
            RETURNING {OF_JOBS}
        ), referred AS (
            INSERT INTO blob_references (job_id, role, tenant_id, sha256, cache_key, generated_at)
            SELECT ended.id, r.role, r.tenant_id, r.sha256, r.cache_key, r.generated_at
            FROM ended, blob_references r
            WHERE r.job_id = :cached_job_id AND r.role <> '{ORIGINAL}'
            ON CONFLICT (job_id, role) DO NOTHING
        )
        SELECT * FROM ended
        """  # noqa: S608 - our own words
)
_COPY_SOURCES = select(JobSource).from_statement(
    text(
        f"""
        UPDATE job_sources s SET
            state = d.state, reason = d.reason, started_at = clock_timestamp(), completed_at = clock_timestamp(),
            lease_until = NULL, generated_images = coalesce((
                SELECT jsonb_agg(jsonb_build_object('generated_at', d.completed_at) || each.generated_image
                                 ORDER BY each.k)
                FROM jsonb_array_elements(d.generated_images) WITH ORDINALITY AS each (generated_image, k)
            ), '[]')
        FROM job_sources d
        WHERE s.job_id = :id AND d.job_id = :cached_job_id AND d.source = s.source
        RETURNING {", ".join(f"s.{column.name}" for column in JobSource.__table__.columns)}
        """  # noqa: S608 - our own words
    ).columns(*JobSource.__table__.columns)
)
