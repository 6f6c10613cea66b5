"""The life of an accepted job: starts it, ends it and its sources, and inserts the webhook deliveries of each event.

This module, `acceptance` and `deletion` are the only ones that change what a job is. An end and its deliveries are one
transaction, so that either both are committed or neither. The repositories below hold the SQL and know no events.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db.models import Job, JobSource, Stage
from app.db.types import RaceRecord
from app.errors import ServiceError
from app.jobs import cached_result, overdue_repository, repository, source_repository
from app.jobs.cached_result import PassedScreening
from app.jobs.source_repository import ExistingImages, SourceOutcome
from app.webhooks import deliveries


@dataclass(frozen=True, slots=True)
class EndedSources:
    """What ending sources did: which took their end, the stage the job entered if none is open, and any deliveries."""

    sources: frozenset[str] = frozenset()
    entered: Stage | None = None
    notify: bool = False


def start(session: Session, job_id: uuid.UUID) -> bool:
    """Inserts the deliveries of a job's start, once; whether there were any."""
    return deliveries.insert_started(session, job_id)


def succeed(session: Session, job: Job, result: dict[str, Any], values: Mapping[str, Any] | None = None) -> Job | None:
    """Ends a claimed job with its result and returns it; None when the claim was fenced off.

    The commit waits for the disk by itself. For a job without `notify` this is one statement.
    """
    return _notified(session, repository.mark_succeeded(session, job, result, values))


def succeed_without_sources(
    session: Session, job: Job, result: dict[str, Any], values: Mapping[str, Any], reason: str
) -> Job | None:
    """Ends a claimed job with a result for which no source was needed; its open sources end as skipped.

    None when the claim was fenced off.
    """
    ended = repository.mark_succeeded(session, job, result, values)
    if ended is not None:
        source_repository.mark_open_skipped(session, job.id, reason)
    return _notified(session, ended)


def succeed_from_cached_job(
    session: Session, job: Job, cached_job_id: uuid.UUID, ttl: timedelta, passed: PassedScreening | None = None
) -> tuple[Job, Sequence[JobSource]] | None:
    """Ends an open job with the result of another one; the job and its sources as they are now.

    None where the other job's result may not be used any more, or the job is not at the stage that its row says.
    """
    found = cached_result.mark_succeeded_from_cached_job(session, job, cached_job_id, ttl, passed)
    if found is not None:
        _notified(session, found[0])
    return found


def fail(session: Session, job: Job, error: ServiceError) -> Job | None:
    """Ends a claimed job with an error and returns it; None when the claim was fenced off."""
    return _notified(session, repository.mark_failed(session, job, error))


def fail_from_source(session: Session, claimed: JobSource, error: ServiceError) -> Job | None:
    """Ends the job of a claimed source with an error, and its open sources; None when the claim was fenced off."""
    job = source_repository.get_job_of_claim(session, claimed)
    ended = None if job is None else fail(session, job, error)
    if ended is not None:
        reason = "The job ended before this source had generated."
        source_repository.mark_open_skipped(session, claimed.job_id, reason)
    return ended


def cancel(session: Session, tenant_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """Ends a job that has not ended, and its open sources; None when there was nothing to end.

    Every claim of it is fenced off: results that come late are dropped.
    """
    job = repository.mark_canceled(session, tenant_id, job_id)
    if job is not None:
        source_repository.mark_open_skipped(session, job_id, "The job was canceled before this source had generated.")
    return _notified(session, job)


def fail_crashed_jobs(session: Session, attempts: int) -> Sequence[Job]:
    """Fails jobs whose stage used up its attempts without an answer, so that no image crashes workers for ever."""
    return _all_notified(session, overdue_repository.mark_crashed_jobs_failed(session, attempts))


def fail_overdue_jobs(session: Session) -> Sequence[Job]:
    """Fails jobs past their deadline that have nothing to rank, or that cannot get to ranking it."""
    return _all_notified(session, overdue_repository.mark_overdue_jobs_failed(session))


def end_sources(session: Session, job_id: uuid.UUID, outcomes: Sequence[SourceOutcome]) -> EndedSources:
    """Ends claimed sources of a job; those whose claim was fenced off are left out."""
    notify = repository.lock_resynthesizing(session, job_id)
    if notify is None:
        return EndedSources()
    return _joined(session, job_id, source_repository.mark_ended(session, job_id, outcomes), notify)


def insert_existing_images(session: Session, job_id: uuid.UUID, existing: Sequence[ExistingImages]) -> EndedSources:
    """Gives sources that were never claimed images that exist already; those that have all of theirs end.

    `sources` of what is returned are all that took images, ended or not.
    """
    notify = repository.lock_resynthesizing(session, job_id)
    if notify is None:
        return EndedSources()
    took = source_repository.insert_existing_images(session, job_id, existing)
    ended = {each.source for each in existing if each.whole and each.source in took}
    if not ended:
        return EndedSources(frozenset(took))
    joined = _joined(session, job_id, ended, notify)
    return EndedSources(frozenset(took), joined.entered, joined.notify)


def end_overdue_sources(session: Session, job_id: uuid.UUID) -> EndedSources:
    """Ends a job's sources that are past their timeout, or past the job's deadline, as `timeout`."""
    notify = repository.lock_resynthesizing(session, job_id)
    if notify is None:
        return EndedSources()
    return _joined(session, job_id, overdue_repository.mark_overdue_sources_ended(session, job_id), notify)


def end_crashed_source(session: Session, job_id: uuid.UUID, source: str, attempts: int) -> EndedSources:
    """Ends a source that used up its attempts as `error`."""
    notify = repository.lock_resynthesizing(session, job_id)
    if notify is None:
        return EndedSources()
    ended = overdue_repository.mark_crashed_source_ended(session, job_id, source, attempts)
    return _joined(session, job_id, ended, notify)


def begin_round(session: Session, job: Job, race: RaceRecord) -> Job | None:
    """Begins the last of the rounds of a claimed job's race; None when the claim was fenced off."""
    moved = repository.begin_round(session, job, race)
    if moved is not None:
        source_repository.reopen(session, job.id, race.rounds[-1].sources)
    return moved


def advance_without_sources(session: Session, job_id: uuid.UUID) -> Stage | None:
    """Moves a job on that has no open source; the stage it entered, if any."""
    if repository.lock_resynthesizing(session, job_id) is None:
        return None
    return repository.advance_when_sources_ended(session, job_id)


def _joined(session: Session, job_id: uuid.UUID, ended: set[str], notify: bool) -> EndedSources:
    """After sources of a locked job have ended: their deliveries first, and then the job's next stage."""
    inserted = notify and deliveries.insert_sources_finished(session, job_id, ended)
    return EndedSources(frozenset(ended), repository.advance_when_sources_ended(session, job_id), inserted)


def _notified(session: Session, ended: Job | None) -> Job | None:
    if ended is not None:
        deliveries.insert_ended(session, ended)
    return ended


def _all_notified(session: Session, ended: Sequence[Job]) -> Sequence[Job]:
    for job in ended:
        deliveries.insert_ended(session, job)
    return ended
