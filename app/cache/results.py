"""The repository of answers that are used again: the same file, asked the same, by the same method, for one tenant.

An answer is a job's own. A job that is answered from another gets rows of its own and refers to the same bytes, so
that each can be deleted without the other. The other is locked meanwhile: it is whole, or it is not used.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.cache.reusable_jobs import NEWEST, caption_part, rank_part
from app.db.models import Job, JobSource
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
    row = session.execute(_FIND, lookup_parameters(job) | {"result_ttl": ttl}).one_or_none()
    return None if row is None else CachedJob(row.id, row.caption)


def oldest(generated_at: Sequence[str]) -> datetime | None:
    """The time from which an answer counts as given: that of the oldest generating that it used again, if any."""
    return min(map(datetime.fromisoformat, generated_at), default=None)


def lookup_parameters(job: Job) -> dict[str, Any]:
    """What `reusable_jobs.USABLE` is given of a job, but for the time to live."""
    return {
        "id": job.id,
        "tenant_id": job.tenant_id,
        "result_key": job.result_key,
        "prompt": job.prompt,
        "local_only": job.local_only,
        "caption_part": caption_part(job.method_options.captioner),
        "rank_part": rank_part(job.method_options.embedder),
    }


_FIND = text(NEWEST)
