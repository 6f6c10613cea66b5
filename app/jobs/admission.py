"""How many jobs are open, and whether one more is admitted: exactly for a tenant's limit, roughly for all tenants.

All statements read the index of open jobs, so that a million ended ones cost nothing.
"""

import uuid
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """A tenant's jobs that have not ended, and seconds since the oldest that has not begun was accepted."""

    count: int = 0
    oldest_seconds: float = 0.0


def measure_open_jobs(session: Session) -> dict[uuid.UUID, OpenJobs]:
    """The present load, of each tenant that has open jobs."""
    return {row.tenant_id: OpenJobs(row.jobs, row.oldest or 0.0) for row in session.execute(_LOAD)}


_LOAD = text(
    """
    SELECT tenant_id, count(*) AS jobs,
           CAST(extract(epoch FROM now() - min(created_at) FILTER (WHERE status = 'queued')) AS float) AS oldest
    FROM jobs WHERE status IN ('queued', 'processing') GROUP BY tenant_id
    """
)


def is_tenant_full(session: Session, tenant_id: uuid.UUID, limit: int) -> bool:
    """Whether a tenant has as many open jobs as it may; another transaction may be inserting one right now."""
    return _count(session, tenant_id, limit) >= limit


@dataclass(frozen=True, slots=True)
class TenantShare:
    """How many open jobs a tenant may have, and has."""

    allowed: int
    open_jobs: int


def fits_tenant_limit(session: Session, tenant_id: uuid.UUID, default: int, observed: TenantShare) -> bool:
    """Whether a tenant's open jobs, those of this transaction among them, are no more than it may have.

    Near the limit no other transaction of the tenant gets past this line until the commit, so call it last. Far from
    it, by `observed`, none waits for another's commit: jobs that are not visible yet are fewer than the distance.
    """
    if observed.open_jobs < observed.allowed - _UNSEEN:
        return True
    session.execute(_ALONE, {"tenant_id": str(tenant_id)})
    allowed, jobs = session.execute(_SHARE, {"tenant_id": tenant_id, "concurrent_jobs": default}).one()
    return bool(jobs <= allowed)


def _count(session: Session, tenant_id: uuid.UUID, up_to: int) -> int:
    return int(session.execute(_OPEN, {"tenant_id": tenant_id, "up_to": up_to}).scalar_one())


_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('open jobs ' || :tenant_id, 0))")
# No more transactions than Postgres has connections can be in progress.
_UNSEEN = 500
# `allowed` and `open_jobs` of :tenant_id, whose default is :concurrent_jobs.
TENANT_SHARE = """
    SELECT allowed, (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs WHERE tenant_id = :tenant_id AND status IN ('queued', 'processing') LIMIT allowed + 1
        ) AS own
    ) AS open_jobs
    FROM (SELECT coalesce(concurrent_jobs, :concurrent_jobs) AS allowed FROM tenants WHERE id = :tenant_id) AS tenant
    """
_SHARE = text(TENANT_SHARE)
_OPEN = text(
    """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE tenant_id = :tenant_id AND status IN ('queued', 'processing') LIMIT :up_to
    ) AS open_jobs
    """
)
