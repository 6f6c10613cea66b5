"""How a step can end, and what follows when that was saved.

Messages for the job's next stage, and the snapshot of an ended job.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, Stage
from app.db.types import RaceRecord
from app.documents import job_document
from app.jobs import repository, service, source_repository
from app.jobs.cached_result import PassedScreening
from app.queue.steps import notify_step, sources_step, stage_step
from app.vendors import budget
from workers.cached_images import use_at_fan_out
from workers.models import Models
from workers.storage import Storage


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
class BeginRound:
    """The job goes back to resynthesizing, for the last round of the race."""

    race: RaceRecord


@dataclass(frozen=True, slots=True)
class UseCachedJob:
    """Another job may have the result, and this one has passed screening; if it cannot be used, the stage advances."""

    cached_job_id: uuid.UUID
    passed: PassedScreening
    otherwise: Advance


# What works on one stage of a claimed job, outside any transaction.
Work = Callable[[Job], Advance | Succeed | BeginRound | UseCachedJob]


def enqueue_stage(storage: Storage, models: Models, job_id: uuid.UUID, stage: Stage | None) -> None:
    """Enqueues the stage that a job has entered, if any: one message, or one per queue of its sources."""
    if stage == Stage.RESYNTHESIZING:
        fan_out(storage, models, job_id)
    elif stage is not None:
        storage.broker.enqueue([stage_step(stage, job_id)])


def fan_out(storage: Storage, models: Models, job_id: uuid.UUID) -> None:
    """Enqueues one message per queue of a job's pending sources: a local source has its own, remote ones share one.

    A source whose images are all cached is done here and needs no message. A job none of whose sources is pending
    advances. The sweep requeues messages that are lost.
    """
    with storage.database.statement() as session:
        pending = source_repository.list_pending_for_fan_out(session, job_id)
    if pending:
        done, stage, notify = use_at_fan_out(storage, models, job_id, pending)
    else:
        done, stage, notify = set[str](), None, False
        with storage.database.transaction(durable=False) as session:
            stage = service.advance_without_sources(session, job_id)
    queues = dict.fromkeys(each.queue for each in pending if each.source not in done)
    steps = [sources_step(job_id, queue) for queue in queues]
    steps += [stage_step(stage, job_id)] if stage is not None else []
    steps += [notify_step()] if notify else []
    storage.broker.enqueue(steps)


def store_ended_snapshot(storage: Storage, tenant_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """Stores the document of an ended job where polling clients read it."""
    with storage.database.transaction(durable=False) as session:
        job = repository.get_by_id(session, tenant_id, job_id)
        if job is None or job.deleted_at is not None:
            return
        rows = source_repository.list_for_job(session, job_id)
        document = job_document(job, rows, budget.sum_by_source(session, job))
    storage.snapshots.store_ended(tenant_id, document)
