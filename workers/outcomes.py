"""How a stage of a job ends: it advances, the job succeeds, or a cached result is used."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, Stage
from app.jobs.cached_result import PassedScreening


@dataclass(frozen=True, slots=True)
class Advance:
    """The stage is done: the job's next one, the values for its row by column, and the blobs that it uses now.

    `then` works on the next stage if this process goes on with it: it has what would have to be read again.
    """

    to: Stage
    values: Mapping[str, Any] = field(default_factory=dict)
    blobs: dict[str, StoredBlob] = field(default_factory=dict)
    then: "Work | None" = None


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job is done: its result document, and its sources, which do not change any more.

    With `skipped`, a sentence, sources are still open and end as skipped for that reason.
    """

    result: dict[str, Any]
    sources: Sequence[JobSource]
    values: Mapping[str, Any] = field(default_factory=dict)
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class UseCachedJob:
    """Another job may have the result, and this one has passed screening; if it cannot be used, the stage advances."""

    cached_job_id: uuid.UUID
    passed: PassedScreening
    otherwise: Advance


# What works on one stage of a claimed job, outside any transaction.
Work = Callable[[Job], Advance | Succeed | UseCachedJob]
