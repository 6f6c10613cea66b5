"""SQL of contributing: which ended jobs are to be added to the bank, and adding one exactly once.

A claim counts `attempt` and sets `lease_until` of the ended job, as those of its stages did; what comes late is fenced
off. The contribution and the job's mark are one statement, so that a worker may be killed at any line.
"""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.models import CONTRIBUTING, Job
from app.jobs.repository import OF_JOBS, returning_jobs

_FREE = f"{CONTRIBUTING.text} AND (lease_until IS NULL OR lease_until < now())"


def claim_contributing(session: Session, lease: timedelta, attempts: int) -> Job | None:
    """Takes the job that waits the longest to be added to the bank; those that used up their attempts are left.

    One at a time: with a batch, a worker that is killed would use up an attempt of jobs that it has not begun.
    """
    given = {"lease": lease, "attempts": attempts}
    return session.scalars(_CLAIM, given, execution_options={"populate_existing": True}).one_or_none()


_CLAIM = returning_jobs(
    f"""
    UPDATE jobs SET attempt = attempt + 1, lease_until = now() + :lease
    WHERE id = (
        SELECT id FROM jobs WHERE {_FREE} AND attempt < :attempts
        ORDER BY completed_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING {OF_JOBS}
    """  # noqa: S608 - our own words
)


def exclude_crashed(session: Session, attempts: int) -> int:
    """Gives up jobs that used up their attempts without contributing; returns how many."""
    return len(session.execute(_EXCLUDE_CRASHED, {"attempts": attempts}).all())


_EXCLUDE_CRASHED = text(
    f"UPDATE jobs SET contributes = NULL WHERE {_FREE} AND attempt >= :attempts RETURNING id"  # noqa: S608 - ours
)
_HELD = f"id = :id AND {CONTRIBUTING.text} AND attempt = :held_attempt"


def exclude(session: Session, job: Job) -> None:
    """Records that a claimed job has nothing to contribute."""
    session.execute(_EXCLUDE, {"id": job.id, "held_attempt": job.attempt})


_EXCLUDE = text(f"UPDATE jobs SET contributes = NULL, lease_until = NULL WHERE {_HELD}")  # noqa: S608 - our own words


def release(session: Session, job: Job) -> None:
    """Gives a claim back after an error that may pass: 1, 4, 9 and 16 minutes later it is claimed again."""
    session.execute(_RELEASE, {"id": job.id, "held_attempt": job.attempt})


_RELEASE = text(f"UPDATE jobs SET lease_until = now() + attempt * attempt * interval '1 minute' WHERE {_HELD}")  # noqa: S608 - ours


def contribute(session: Session, job: Job, values: Mapping[str, Any]) -> bool:
    """Adds a claimed job to the bank, by the columns of its row but for ids and times; whether it was added.

    It is not where the claim was fenced off, the job was deleted, its tenant does not allow it, or its caption
    contributed before with all of these sources. With a new source or revision it takes that contribution's place.
    """
    given = {"id": job.id, "held_attempt": job.attempt, **values}
    return session.execute(_CONTRIBUTE, given).one_or_none() is not None


# The tenant's row is locked, so that no contribution is inserted behind an opt-out that deletes them.
_CONTRIBUTE = text(
    f"""
    WITH held AS (
        UPDATE jobs SET contributes = false, lease_until = NULL WHERE {_HELD}
        RETURNING id, tenant_id, created_at, captions_deleted_at
    ), allowed AS (
        SELECT held.* FROM held JOIN tenants t ON t.id = held.tenant_id
        WHERE t.contribute IS NOT FALSE
        FOR SHARE OF t
    )
    INSERT INTO bank_contributions AS c (job_id, tenant_id, space, caption_hash, sources, counts, features, length,
                                         basis, job_created_at)
    SELECT id, tenant_id, :space, CASE WHEN captions_deleted_at IS NULL THEN :caption_hash END,
           CAST(:sources AS text[]), CAST(:counts AS smallint[]), :features, :length, :basis, created_at
    FROM allowed
    ON CONFLICT (space, caption_hash) DO UPDATE SET
        job_id = excluded.job_id, tenant_id = excluded.tenant_id, sources = excluded.sources,
        counts = excluded.counts, features = excluded.features, length = excluded.length, basis = excluded.basis,
        job_created_at = excluded.job_created_at, contributed_at = excluded.contributed_at
    WHERE NOT excluded.sources <@ c.sources
    RETURNING job_id
    """  # noqa: S608 - our own words
)


def exclude_tenant(session: Session, tenant_id: uuid.UUID) -> None:
    """Records that no job of a tenant contributes; a rebuild of the bank leaves them out, too."""
    session.execute(_EXCLUDE_TENANT, {"tenant_id": tenant_id})


_EXCLUDE_TENANT = text("UPDATE jobs SET contributes = NULL WHERE tenant_id = :tenant_id AND contributes IS NOT NULL")


def reset(session: Session) -> int:
    """Lets all jobs contribute again that did before and still have their features; returns how many."""
    return len(session.execute(_RESET).all())


_RESET = text(
    """
    UPDATE jobs SET contributes = true, attempt = 0, lease_until = NULL
    WHERE status = 'succeeded' AND deleted_at IS NULL AND NOT contributes
    RETURNING id
    """
)
