"""The repository of a job's sources: fan-out, claims, and the join.

The join is a fact in the database: ending the last open source of a job moves the job on, in the same
transaction and under the job's row lock, so that of two that finish together exactly one does.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Executable,
    Interval,
    SmallInteger,
    Text,
    and_,
    column,
    func,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource
from app.db.types import ImageRecord, image_documents
from app.jobs.repository import STILL_OPEN, lock_resynthesizing
from attribution.ports import SourceState

# In which workers have something to do; of a source that awaits references they have not.
OPEN_STATES = (SourceState.PENDING, SourceState.RUNNING)


@dataclass(frozen=True, slots=True)
class PendingSource:
    """A source that is to be generated, with what its cache keys are made of.

    `generated_images` are those of earlier rounds of a race, of the `images_per_source` that are wanted.
    """

    tenant_id: uuid.UUID
    source: str
    revision: str
    queue: str
    position: int
    caption: str
    images_per_source: int
    seed: int | None
    cache: bool
    generated_images: Sequence[ImageRecord] = ()


@dataclass(frozen=True, slots=True)
class SourceClaim:
    """A source's row as claimed, with what generating needs of its job.

    `images_per_source` is how many images it is to have: γ, or in a race as many as the round wants.
    """

    row: JobSource
    caption: str
    images_per_source: int
    seed: int | None
    cache: bool
    notify: bool  # whether the job has receivers
    remaining: timedelta  # until the job's deadline

    @property
    def source(self) -> str:
        """The source's id."""
        return self.row.source

    @property
    def revision(self) -> str:
        """What it was accepted with."""
        return self.row.revision


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """How a claimed source ends, with its generated images in the order of k."""

    row: JobSource
    state: SourceState
    reason: str | None = None
    generated_images: Sequence[ImageRecord] = ()


def list_for_job(session: Session, job_id: uuid.UUID) -> Sequence[JobSource]:
    """The job's sources in catalog order."""
    return session.scalars(_SOURCES, {"job_id": job_id}).all()


_OF_SOURCES = ", ".join(each.name for each in JobSource.__table__.columns)
_SOURCES = select(JobSource).from_statement(
    text(f"SELECT {_OF_SOURCES} FROM job_sources WHERE job_id = :job_id ORDER BY position").columns(  # noqa: S608 - our own words
        *JobSource.__table__.columns
    )
)


def list_pending_for_fan_out(session: Session, job_id: uuid.UUID) -> Sequence[PendingSource]:
    """The sources to be generated now, in catalog order; starts the sweep's clock for them."""
    rows = [
        PendingSource(**{**row, "generated_images": [ImageRecord(**each) for each in row["generated_images"]]})
        for row in session.execute(_FAN_OUT, {"job_id": job_id}).mappings()
    ]
    return sorted(rows, key=lambda row: row.position)


def wanted_images(job: str, row: str) -> str:
    """SQL: how many images a row of `job_sources` is to have: its job's γ, or in a race what the last round says."""
    return f"""
    coalesce(greatest(CAST({job}.race -> 'rounds' -> -1 ->> 'images' AS smallint),
                      CAST({job}.race -> 'at_least' ->> {row}.source AS smallint)), {job}.images_per_source)
    """


_WANTED = wanted_images("j", "s")
_FAN_OUT = text(
    f"""
    UPDATE job_sources s SET requeued_at = clock_timestamp() FROM jobs j
    WHERE s.job_id = :job_id AND s.state = 'pending' AND j.id = s.job_id
    RETURNING s.tenant_id, s.source, s.revision, s.queue, s.position, coalesce(j.caption, '') AS caption,
              {_WANTED} AS images_per_source, j.seed, j.cache, s.generated_images
    """  # noqa: S608 - our own words
)


def claim_in_queue(
    session: Session, job_id: uuid.UUID, queue: str, lease: timedelta, attempts: int
) -> Sequence[SourceClaim]:
    """Takes the sources of one job that wait in one queue; none when there is nothing to do."""
    return claim(session, _CLAIM, {"job_id": job_id, "queue": queue, "lease": lease, "attempts": attempts})


def claim_next_delayed(session: Session, source: str, lease: timedelta, attempts: int) -> Sequence[SourceClaim]:
    """Takes the oldest job that waits for a source; none when none waits, or each is leased or locked."""
    return claim(session, _CLAIM_WAITING, {"source": source, "lease": lease, "attempts": attempts})


def claim(session: Session, statement: Executable, given: Mapping[str, Any]) -> Sequence[SourceClaim]:
    """What a statement that `claiming` made takes."""
    found = session.execute(statement, given, execution_options={"populate_existing": True})
    return [
        SourceClaim(row, caption or "", images_per_source, seed, cache, notify, remaining)
        for row, caption, images_per_source, seed, cache, notify, remaining in found
    ]


def claiming(which: str, before: str = "") -> Executable:
    """The claim of sources; which ones, `which` says in SQL, with what `before` defines."""
    own = JobSource.__table__.columns
    statement = f"""
        {before} UPDATE job_sources s SET
            state = 'running', attempt = s.attempt + 1, lease_until = now() + :lease, started_at = clock_timestamp(),
            timeout_at = clock_timestamp() + make_interval(secs => s.timeout_seconds), next_attempt_at = NULL
        FROM jobs j
        WHERE {which} AND j.id = s.job_id
              AND j.status = 'processing' AND j.stage = 'resynthesizing'
              AND s.state IN ('pending', 'running') AND s.attempt < :attempts
              AND (s.lease_until IS NULL OR s.lease_until < now())
        RETURNING {", ".join(f"s.{each.name}" for each in own)},
                  j.caption AS job_caption, {_WANTED} AS wanted_images,
                  j.seed AS job_seed, j.cache AS job_cache,
                  j.notify AS job_notify, j.deadline_at - clock_timestamp() AS job_remaining
        """  # noqa: S608 - our own words
    of_job = (
        column("job_caption", Text),
        column("wanted_images", SmallInteger),
        column("job_seed", BigInteger),
        column("job_cache", Boolean),
        column("job_notify", Boolean),
        column("job_remaining", Interval),
    )
    return select(JobSource, *of_job).from_statement(text(statement).columns(*own, *of_job))


_CLAIM = claiming(
    "s.job_id = :job_id AND s.queue = :queue AND (s.next_attempt_at IS NULL OR s.next_attempt_at <= now())"
)
_CLAIM_WAITING = claiming(
    """s.source = :source AND s.job_id = (
        SELECT o.job_id FROM job_sources o JOIN jobs oj ON oj.id = o.job_id
        WHERE o.source = :source AND o.state = 'pending' AND o.next_attempt_at <= now() AND o.attempt < :attempts
              AND oj.status = 'processing' AND oj.stage = 'resynthesizing'
        ORDER BY o.job_id LIMIT 1 FOR UPDATE OF o SKIP LOCKED
    )"""
)


def source_claim_fence(claimed: JobSource) -> ColumnElement[bool]:
    """The fence: the row is still running under the attempt that this claim took."""
    return and_(
        JobSource.job_id == claimed.job_id,
        JobSource.source == claimed.source,
        JobSource.state == SourceState.RUNNING,
        JobSource.attempt == claimed.attempt,
        JobSource.started_at == claimed.started_at,  # in a race, attempts are counted anew in each round
    )


def get_job_of_claim(session: Session, claimed: JobSource) -> Job | None:
    """The job of a claim that stands, with its row lock, in order to end it; None where the claim was fenced off."""
    if lock_resynthesizing(session, claimed.job_id) is None:
        return None
    if session.scalar(select(JobSource.source).where(source_claim_fence(claimed))) is None:
        return None
    return session.get_one(Job, claimed.job_id, populate_existing=True)


def mark_ended(session: Session, job_id: uuid.UUID, outcomes: Sequence[SourceOutcome]) -> set[str]:
    """Ends claimed sources of a job that the session has locked; returns those whose claim stood."""
    ends = [
        {
            "source": outcome.row.source,
            "attempt": outcome.row.attempt,
            "started_at": outcome.row.started_at and outcome.row.started_at.isoformat(),
            "state": outcome.state.value,
            "reason": outcome.reason,
            "generated_images": image_documents(outcome.generated_images),
        }
        for outcome in outcomes
    ]
    return set(session.scalars(_FINISH, {"job_id": job_id, "ends": json.dumps(ends)}))


@dataclass(frozen=True, slots=True)
class ExistingImages:
    """Images of a pending source that exist already, as its row keeps them, all (`whole`) or some; and its remark."""

    source: str
    generated_images: Sequence[ImageRecord]
    reason: str | None
    whole: bool


def insert_existing_images(session: Session, job_id: uuid.UUID, existing: Sequence[ExistingImages]) -> set[str]:
    """Gives sources that were never claimed images that exist already; those that have all are done.

    The session has locked the job. Returns the sources that took theirs.
    """
    begins = [
        {
            "source": each.source,
            "state": SourceState.DONE if each.whole else SourceState.PENDING,
            "reason": each.reason if each.whole else None,
            "generated_images": image_documents(each.generated_images),
        }
        for each in existing
    ]
    return set(session.scalars(_BEGIN_WITH, {"job_id": job_id, "begins": json.dumps(begins)}))


_BEGIN_WITH = text(
    """
    UPDATE job_sources s SET state = b.state, reason = b.reason, generated_images = b.generated_images,
                             started_at = CASE WHEN b.state = 'done' THEN clock_timestamp() END,
                             completed_at = CASE WHEN b.state = 'done' THEN clock_timestamp() END
    FROM jsonb_to_recordset(CAST(:begins AS jsonb)) AS b (source text, state text, reason text, generated_images jsonb)
    WHERE s.job_id = :job_id AND s.source = b.source AND s.state = 'pending' AND s.attempt = 0
    RETURNING s.source
    """
)


_FINISH = text(
    """
    UPDATE job_sources s SET state = e.state, reason = e.reason, generated_images = e.generated_images,
                             lease_until = NULL, completed_at = clock_timestamp()
    FROM jsonb_to_recordset(CAST(:ends AS jsonb))
        AS e (source text, attempt smallint, started_at timestamptz, state text, reason text, generated_images jsonb)
    WHERE s.job_id = :job_id AND s.source = e.source AND s.state = 'running' AND s.attempt = e.attempt
          AND s.started_at = e.started_at
    RETURNING s.source
    """
)


def save_generated_images(session: Session, claimed: JobSource, generated_images: Sequence[ImageRecord]) -> bool:
    """Stores what a claimed source has generated so far and restarts its timeout; False when it was fenced off."""
    given = {**_fence(claimed), "generated_images": json.dumps(image_documents(generated_images))}
    return session.scalar(_KEEP, given) is not None


_HELD = """
    job_id = :job_id AND source = :source AND state = 'running' AND attempt = :attempt AND started_at = :started_at
"""
_KEEP = text(
    f"""
    UPDATE job_sources SET generated_images = CAST(:generated_images AS jsonb),
                           timeout_at = clock_timestamp() + make_interval(secs => timeout_seconds)
    WHERE {_HELD}
    RETURNING source
    """  # noqa: S608 - our own words
)


def mark_references_uploaded(session: Session, job_id: uuid.UUID, source: str, images: Sequence[ImageRecord]) -> None:
    """Gives an awaiting source its reference images; a worker is to screen them next."""
    given = {"job_id": job_id, "source": source, "generated_images": json.dumps(image_documents(images))}
    session.execute(_MARK_UPLOADED, given)


_MARK_UPLOADED = text(
    """
    UPDATE job_sources SET state = 'pending', reason = NULL, generated_images = CAST(:generated_images AS jsonb),
                           requeued_at = clock_timestamp()
    WHERE job_id = :job_id AND source = :source
    """
)


def delay_claim(session: Session, claimed: JobSource, wait: timedelta) -> bool:
    """Makes a claimed source wait without counting an attempt; False when it was fenced off."""
    return session.scalar(_PARK, {**_fence(claimed), "wait": wait}) is not None


_PARK = text(
    f"""
    UPDATE job_sources SET state = 'pending', attempt = attempt - 1, lease_until = NULL, requeues = 0,
                           requeued_at = clock_timestamp(), next_attempt_at = clock_timestamp() + :wait
    WHERE {_HELD}
    RETURNING source
    """  # noqa: S608 - our own words
)


def _fence(claimed: JobSource) -> dict[str, Any]:
    return {
        "job_id": claimed.job_id,
        "source": claimed.source,
        "attempt": claimed.attempt,
        "started_at": claimed.started_at,
    }


def release_claim(session: Session, claimed: JobSource) -> None:
    """Gives a claim back after an error that may pass; the sweep hands the source on again."""
    session.execute(_RELEASE, _fence(claimed))


_RELEASE = text(
    f"""
    UPDATE job_sources SET state = 'pending', lease_until = NULL, requeued_at = clock_timestamp()
    WHERE {_HELD}
    """  # noqa: S608 - our own words
)


def release_claim_uncounted(session: Session, claimed: JobSource) -> bool:
    """Gives a claim back without counting it as an attempt: its worker stops. False when it was fenced off."""
    values = {
        "state": SourceState.PENDING,
        "attempt": JobSource.attempt - 1,
        "lease_until": None,
        "requeued_at": func.clock_timestamp(),
    }
    statement = update(JobSource).where(source_claim_fence(claimed)).values(values).returning(JobSource.source)
    return session.scalar(statement) is not None


def reopen(session: Session, job_id: uuid.UUID, sources: Sequence[str]) -> None:
    """Has sources of a locked job that are done generate further images, in a further round of its race."""
    session.execute(_REOPEN, {"job_id": job_id, "sources": list(sources)})


_REOPEN = text(
    """
    UPDATE job_sources SET state = 'pending', reason = NULL, attempt = 0, lease_until = NULL, requeues = 0,
                           requeued_at = clock_timestamp(), next_attempt_at = NULL, completed_at = NULL
    WHERE job_id = :job_id AND source = ANY(:sources) AND state = 'done'
    """
)


def mark_open_skipped(session: Session, job_id: uuid.UUID, reason: str) -> None:
    """Ends what was still waited for of a job that this session has ended."""
    session.execute(_SKIP_SOURCES, {"job_id": job_id, "reason": reason})


_SKIP_SOURCES = text(
    f"""
    UPDATE job_sources SET state = 'skipped', reason = :reason, lease_until = NULL, completed_at = clock_timestamp()
    WHERE job_id = :job_id AND {STILL_OPEN}
    """  # noqa: S608 - our own words
)
