"""SQL of batches: what waits for local sources, by source and tenant, and claims of several jobs' rows of one source.

A row that was claimed before and did not end is in no batch: it may have crashed its worker, so it is claimed alone, by
the message with which the sweep requeues it.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.jobs.source_repository import SourceClaim, claim, claiming, wanted_images

# Of `job_sources o` and its job `oj`: it may be generated in a batch.
_BATCHABLE = """
    o.state = 'pending' AND o.attempt = 0 AND o.next_attempt_at IS NULL AND o.queue = 'local.' || o.source
    AND (o.lease_until IS NULL OR o.lease_until < now()) AND oj.status = 'processing' AND oj.stage = 'resynthesizing'
"""


@dataclass(frozen=True, slots=True)
class WaitingImages:
    """What one tenant waits for at one source: jobs, their missing images, and how long the first has waited."""

    source: str
    tenant_id: uuid.UUID
    jobs: int
    images: int
    seconds: float


def list_waiting(session: Session, sources: Collection[str]) -> Sequence[WaitingImages]:
    """What waits for these local sources, in no order."""
    return [WaitingImages(**row) for row in session.execute(_WAITING, {"sources": list(sources)}).mappings()]


_WAITING = text(
    f"""
    SELECT o.source, o.tenant_id, count(*) AS jobs,
           sum({wanted_images("oj", "o")} - jsonb_array_length(o.generated_images))::integer AS images,
           extract(epoch FROM now() - min(oj.stage_entered_at))::float AS seconds
    FROM job_sources o JOIN jobs oj ON oj.id = o.job_id
    WHERE o.source = ANY(:sources) AND {_BATCHABLE}
    GROUP BY o.source, o.tenant_id
    """  # noqa: S608 - our own words
)


def claim_batch(
    session: Session, source: str, jobs_by_tenant: Mapping[uuid.UUID, int], lease: timedelta, attempts: int
) -> Sequence[SourceClaim]:
    """Takes the oldest waiting rows of a source, at most so many of each tenant; rows of others' claims are skipped."""
    shares = [{"tenant_id": str(tenant_id), "jobs": jobs} for tenant_id, jobs in jobs_by_tenant.items()]
    given = {"source": source, "shares": json.dumps(shares), "lease": lease, "attempts": attempts}
    return sorted(claim(session, _CLAIM_BATCH, given), key=lambda each: each.row.job_id)


_CLAIM_BATCH = claiming(
    "s.source = :source AND s.attempt = 0 AND s.job_id IN (SELECT job_id FROM picked)",
    # Materialized: a subquery with LIMIT that is run again for each row of the update takes more rows than its limit.
    before=f"""WITH picked AS MATERIALIZED (
        SELECT waiting.job_id
        FROM jsonb_to_recordset(CAST(:shares AS jsonb)) AS share (tenant_id uuid, jobs integer)
        CROSS JOIN LATERAL (
            SELECT o.job_id FROM job_sources o JOIN jobs oj ON oj.id = o.job_id
            WHERE o.source = :source AND o.tenant_id = share.tenant_id AND {_BATCHABLE}
            ORDER BY o.job_id LIMIT share.jobs FOR UPDATE OF o SKIP LOCKED
        ) waiting
    )""",  # noqa: S608 - our own words
)


def claim_again(
    session: Session, job_id: uuid.UUID, queue: str, lease: timedelta, attempts: int
) -> Sequence[SourceClaim]:
    """Takes a job's row in a local queue if it was claimed before and did not end; none otherwise."""
    return claim(session, _CLAIM_AGAIN, {"job_id": job_id, "queue": queue, "lease": lease, "attempts": attempts})


_CLAIM_AGAIN = claiming("s.job_id = :job_id AND s.queue = :queue AND s.attempt > 0")
