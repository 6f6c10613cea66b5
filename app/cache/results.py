"""The repository of answers that are used again: the same file, asked the same, by the same method, for one tenant.

An answer is a job's own. A job that is answered from another gets rows of its own and refers to the same bytes, so
that each can be deleted without the other. The other is locked meanwhile: it is whole, or it is not used.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.cache.reusable_jobs import NEWEST, USABLE, caption_part, rank_part
from app.db.models import Job, JobSource
from app.jobs.repository import ENDING, set_clause
from app.screening.repository import SCREENING_FINGERPRINT
from app.webhooks import deliveries
from attribution.ports import SourceState

# A source that ended otherwise might generate if it were asked again, so its job's answer is not given again.
_FINAL = frozenset(
    {
        SourceState.DONE,
        SourceState.REFUSED_PROMPT,
        SourceState.REFUSED_OUTPUT,
        SourceState.RETIRED,
        SourceState.NO_API,
    }
)


def is_final(job: Job, rows: Sequence[JobSource]) -> bool:
    """Whether asking again would give nothing else. What a job that is local only skips, the next one skips, too."""
    final = _FINAL | {SourceState.SKIPPED} if job.local_only else _FINAL
    return all(
        row.state in final and (row.state != SourceState.DONE or len(row.generated_images) == job.images_per_source)
        for row in rows
    )


def activate_pipeline(session: Session, part: str, fingerprint: str) -> None:
    """Says what the workers of this installation describe, or rank, with from now on."""
    session.execute(_UPSERT_PIPELINE, {"part": part, "fingerprint": fingerprint})


_UPSERT_PIPELINE = text(
    """
    INSERT INTO active_pipelines AS m (part, fingerprint) VALUES (:part, :fingerprint)
    ON CONFLICT (part) DO UPDATE SET fingerprint = excluded.fingerprint, activated_at = now() WHERE m.fingerprint <> excluded.fingerprint
    """
)


@dataclass(frozen=True, slots=True)
class CachedJob:
    """A job that has the answer."""

    id: uuid.UUID
    caption: str


def find(session: Session, job: Job, ttl: timedelta) -> CachedJob | None:
    """Who has the answer to a job. It may be gone by the time it is used."""
    row = session.execute(_FIND, _given(job) | {"result_ttl": ttl}).one_or_none()
    return None if row is None else CachedJob(row.id, row.caption)


@dataclass(frozen=True, slots=True)
class Passed:
    """A job has just passed screening, in this state of it, None where that cannot be told; and what its file says."""

    state: str | None
    evidence: Sequence[Mapping[str, Any]] = ()


def reuse(
    session: Session, job: Job, donor_id: uuid.UUID, ttl: timedelta, passed: Passed | None = None
) -> tuple[Job, Sequence[JobSource]] | None:
    """Ends an open job with the answer of another; the job and its sources as they are now, or None.

    None where the other may not be used any more, or the job is not where its caller thinks. A job that has not
    `passed` screening itself is only answered from one that passed exactly what is in force now.
    """
    given = _given(job) | {"result_ttl": ttl, "donor": donor_id}
    given |= {"passed": passed is not None, "screening_fingerprint": passed and passed.state}
    given["findings"] = json.dumps(list(passed.evidence)) if passed is not None else None
    given |= {"stage": job.stage, "attempt": job.attempt or 0}
    ended = session.scalars(_END, given, execution_options={"populate_existing": True}).one_or_none()
    if ended is None:
        return None
    rows = session.scalars(_COPY_SOURCES, given, execution_options={"populate_existing": True}).all()
    deliveries.insert_ended(session, ended)
    return ended, sorted(rows, key=lambda row: row.position)


def oldest(generated_at: Sequence[str]) -> datetime | None:
    """The time from which an answer counts as given: that of the oldest generating that it used again, if any."""
    return min(map(datetime.fromisoformat, generated_at), default=None)


def _given(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant_id": job.tenant_id,
        "result_key": job.result_key,
        "prompt": job.prompt,
        "local_only": job.local_only,
        "caption_part": caption_part(job.method_options),
        "rank_part": rank_part(job.method_options),
    }


_FIND = text(NEWEST)
# The file is the same. Where it was read again, only what the pixels themselves say is the other job's.
_EVIDENCE = """
    CASE WHEN :passed THEN jsonb_build_object('findings', CAST(:findings AS jsonb) || coalesce(
             jsonb_path_query_array(donor_evidence, '$.findings[*] ? (@.kind == "watermark")'), '[]'))
         ELSE donor_evidence END
"""
_ANSWER = {
    **{
        name: f"donor_{name}"
        for name in ("result", "caption", "captioner", "embedder", "features_blob", "pipeline_fingerprint")
    },
    "query_blob": "coalesce(query_blob, donor_query_blob)",
    "evidence": _EVIDENCE,
    "screening_fingerprint": "CASE WHEN :passed THEN CAST(:screening_fingerprint AS text) ELSE donor_screening_fingerprint END",
    "result_computed_at": "coalesce(donor_result_computed_at, donor_completed_at)",
    "cached_from": "donor_id",
    "started_at": "coalesce(started_at, clock_timestamp())",
}
# Deleting, and forgetting images, locks the job, and blobs then; who already holds a blob must not wait for it. A job
# that was deleted since this statement began is looked at again as its lock is taken, and is not usable then.
# Of the references all but the upload, which the job has itself and is the same.
_END = select(Job).from_statement(
    text(
        f"""
        WITH donor AS (
            SELECT {", ".join(f"d.{column.name} AS donor_{column.name}" for column in Job.__table__.columns)}
            FROM jobs d
            WHERE d.id = :donor AND d.local_only = :local_only AND {USABLE} AND (:passed OR d.screening_fingerprint = {SCREENING_FINGERPRINT})
            FOR SHARE OF d SKIP LOCKED
        ), ended AS (
            UPDATE jobs SET {set_clause({**ENDING, **_ANSWER})}, status = 'succeeded'
            FROM donor
            WHERE id = :id AND status IN ('queued', 'processing') AND stage = :stage AND attempt = :attempt
            RETURNING jobs.*
        ), referred AS (
            INSERT INTO blob_references (job_id, role, tenant_id, sha256, cache_key, generated_at)
            SELECT ended.id, r.role, r.tenant_id, r.sha256, r.cache_key, r.generated_at
            FROM ended, blob_references r
            WHERE r.job_id = :donor AND r.role <> 'original'
            ON CONFLICT (job_id, role) DO NOTHING
        )
        SELECT * FROM ended
        """  # noqa: S608 - our own words
    )
)
_COPY_SOURCES = select(JobSource).from_statement(
    text(
        f"""
        UPDATE job_sources s SET
            state = d.state, reason = d.reason, started_at = clock_timestamp(), completed_at = clock_timestamp(),
            lease_until = NULL, generated_images = coalesce((
                SELECT jsonb_agg(jsonb_build_object('generated_at', d.completed_at) || each.generated_image ORDER BY each.k)
                FROM jsonb_array_elements(d.generated_images) WITH ORDINALITY AS each (generated_image, k)
            ), '[]')
        FROM job_sources d
        WHERE s.job_id = :id AND d.job_id = :donor AND d.source = s.source
        RETURNING {", ".join(f"s.{column.name}" for column in JobSource.__table__.columns)}
        """  # noqa: S608 - our own words
    )
)
