"""Cached results: which ended job of the tenant already has the result that a new job would get, by the same pipeline.

A result belongs to a job. This module finds the job; `app.jobs.cached_result` gives its result to another one.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource
from app.db.types import MethodOptions
from attribution.ports import SourceState

_CAPTION, _RANK, _SPACE = "caption", "rank", "space"


def caption_part(captioner: str | None = None) -> str:
    """The part under which a captioner is recorded: the default one, or one that jobs request by name."""
    return _CAPTION if captioner is None else f"{_CAPTION}/{captioner}"


def rank_part(embedder: str | None = None) -> str:
    """The part under which ranking is recorded: with the default embedder, or with one that jobs request by name."""
    return _RANK if embedder is None else f"{_RANK}/{embedder}"


def space_part(embedder: str | None = None) -> str:
    """The part under which the feature space of the default embedder, or of one that jobs request, is recorded."""
    return _SPACE if embedder is None else f"{_SPACE}/{embedder}"


def part_parameters(options: MethodOptions) -> dict[str, str]:
    """The parts that a job with these options uses, as the SQL parameters of `app.cache.results`."""
    return {"caption_part": caption_part(options.captioner), "rank_part": rank_part(options.embedder)}


def upsert_fingerprint(session: Session, part: str, fingerprint: str) -> None:
    """Records what the workers of this installation compute a part of results with from now on."""
    session.execute(_UPSERT, {"part": part, "fingerprint": fingerprint})


def get_fingerprint(session: Session, part: str) -> str | None:
    """What `upsert_fingerprint` recorded last; None where no worker has."""
    fingerprint: str | None = session.scalar(_GET_FINGERPRINT, {"part": part})
    return fingerprint


_GET_FINGERPRINT = text("SELECT fingerprint FROM active_pipelines WHERE part = :part")
_UPSERT = text(
    """
    INSERT INTO active_pipelines AS active (part, fingerprint) VALUES (:part, :fingerprint)
    ON CONFLICT (part) DO UPDATE SET fingerprint = excluded.fingerprint, activated_at = now()
        WHERE active.fingerprint <> excluded.fingerprint
    """
)


# The SQL condition on `jobs d` for a cached job: same tenant, same key, active pipeline, young enough. :prompt is null
# where the image is captioned.
IS_CACHED_JOB = """
    d.tenant_id = :tenant_id AND d.result_key = :result_key
    AND d.pipeline_fingerprint = (SELECT fingerprint FROM active_pipelines WHERE part = :rank_part)
    AND (CAST(:prompt AS text) IS NOT NULL
         OR d.captioner = (SELECT fingerprint FROM active_pipelines WHERE part = :caption_part))
    AND coalesce(d.result_computed_at, d.completed_at) > now() - CAST(:result_ttl AS interval)
"""
# The newest one has passed the newest screening.
_NEWEST = f"SELECT d.id, d.caption FROM jobs d WHERE {IS_CACHED_JOB} ORDER BY d.completed_at DESC LIMIT 1"  # noqa: S608 - our own words
# For the statement that inserts a job: looking costs acceptance no round trip.
NEWEST_CACHED_JOB_ID = f"(SELECT newest.id FROM ({_NEWEST}) AS newest)"  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class CachedJob:
    """A job that has the result."""

    id: uuid.UUID
    caption: str


def get_newest(session: Session, job: Job, ttl: timedelta) -> CachedJob | None:
    """The newest cached job that has a job's result. It may be deleted before it is used."""
    row = session.execute(_GET_NEWEST, match_parameters(job, ttl)).one_or_none()
    return None if row is None else CachedJob(row.id, row.caption)


_GET_NEWEST = text(_NEWEST)


def match_parameters(job: Job, ttl: timedelta) -> dict[str, Any]:
    """The parameters of `IS_CACHED_JOB` for a job."""
    return {
        "tenant_id": job.tenant_id,
        "result_key": job.result_key,
        "prompt": job.prompt,
        "result_ttl": ttl,
        **part_parameters(job.method_options),
    }


# In any other state a source might generate when it is tried again, so that the result is not cached.
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
    """Whether the same request would give the same result. A local-only job skips the same sources next time."""
    final = _FINAL | {SourceState.SKIPPED} if job.local_only else _FINAL
    return all(
        row.state in final
        and (row.state != SourceState.DONE or len(row.generated_images) >= images_asked(job, row.source))
        for row in rows
    )


def images_asked(job: Job, source: str) -> int:
    """How many images a source of the job was asked for: γ, or in a race as many as its rounds wanted."""
    return job.images_per_source if job.race is None else job.race.asked(source)


def oldest_image_time(generated_at: Sequence[str]) -> datetime | None:
    """When the oldest cached image of a result was generated, as its result's age counts from then; None without any.

    `generated_at` are times in ISO 8601.
    """
    return min(map(datetime.fromisoformat, generated_at), default=None)
