"""The repository of generated images that are used again. An entry is a job's own reference to the generated image's bytes.

So an entry lasts as long as some job that used it, and no longer: whatever deletes the reference deletes the entry.
Whoever uses one refers to it under the same question, with the time at which it was first generated.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db.blob_repository import source_of_role

EVICTED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A generated image that answers a question. `generated_image` is as in its job's row, with `generated_at`; `reason` its source's."""

    key: str
    tenant_id: uuid.UUID
    sha256: str
    generated_image: Mapping[str, Any]
    reason: str | None


@dataclass(frozen=True, slots=True)
class KeptVector:
    """Where the feature vector of a generated image lies: in the file of vectors of another job, at a place of a source."""

    sha256: str
    features_blob: str
    source: str
    place: int


def look(
    session: Session, tenant_id: uuid.UUID, keys: Collection[str], ttl: timedelta, shared: bool = False
) -> dict[str, Kept]:
    """What answers these questions, by key, of the tenant's own where there is both. One statement."""
    given = {"tenant_id": tenant_id, "keys": list(keys), "ttl": ttl}
    rows = session.execute(_LOOK_EVERYWHERE if shared else _LOOK, given)
    return {row.key: Kept(row.key, row.tenant_id, row.sha256, row.generated_image, row.reason) for row in rows}


# The row of the source whose generating a reference is. OFFSET 0 keeps the planner from turning the join around: with
# statistics of an empty table it read all rows of all jobs, once for each question.
_ROW = f"""
    LATERAL (SELECT * FROM job_sources WHERE job_id = r.job_id AND source = {source_of_role("r.role")} OFFSET 0) AS s
"""  # noqa: S608 - our own words


def _looking(whose: str, order: str) -> str:
    return f"""
        SELECT wanted.key, found.*
        FROM unnest(CAST(:keys AS text[])) AS wanted (key) CROSS JOIN LATERAL (
            SELECT r.tenant_id, r.sha256, s.reason, d.generated_image || jsonb_build_object('generated_at', r.generated_at) AS generated_image
            FROM blob_references r, {_ROW}, jsonb_array_elements(s.generated_images) AS d (generated_image)
            WHERE r.cache_key = wanted.key AND {whose} AND r.generated_at > now() - :ttl AND s.state = 'done'
                  AND d.generated_image ->> 'blob' = r.sha256
            {order} LIMIT 1
        ) AS found
        """  # noqa: S608 - our own words


_LOOK = text(_looking("r.tenant_id = :tenant_id", ""))
_LOOK_EVERYWHERE = text(_looking("true", "ORDER BY r.tenant_id <> :tenant_id"))


def adopt(session: Session, job_id: uuid.UUID, uses: Mapping[str, Kept]) -> set[str]:
    """Records that a job uses these generated images of its own tenant, by role. Returns the roles for which that is true.

    The others were deleted meanwhile. The generated images' rows are locked: a deletion waits, and then sees another user; or
    it came first, and what it deleted is not used.
    """
    if not uses:
        return set()
    records = [
        {
            "role": role,
            "tenant_id": str(kept.tenant_id),
            "sha256": kept.sha256,
            "cache_key": kept.key,
            "generated_at": kept.generated_image["generated_at"],
        }
        for role, kept in uses.items()
    ]
    return set(session.scalars(_ADOPT, {"job_id": job_id, "records": json.dumps(records)}))


# In the order in which `blob_repository.insert_references` and `blob_repository.mark_unreferenced_deleted` take their locks.
_ADOPT = text(
    """
    WITH uses AS (
        SELECT * FROM jsonb_to_recordset(CAST(:records AS jsonb))
            AS uses (role text, tenant_id uuid, sha256 text, cache_key text, generated_at timestamptz)
    ), alive AS (
        SELECT b.tenant_id, b.sha256 FROM blobs b
        WHERE (b.tenant_id, b.sha256) IN (SELECT tenant_id, sha256 FROM uses) AND b.deleted_at IS NULL
        ORDER BY b.tenant_id, b.sha256 FOR SHARE
    )
    INSERT INTO blob_references (job_id, role, tenant_id, sha256, cache_key, generated_at)
    SELECT :job_id, role, tenant_id, sha256, cache_key, generated_at FROM uses JOIN alive USING (tenant_id, sha256)
    ON CONFLICT (job_id, role) DO UPDATE
        SET sha256 = excluded.sha256, cache_key = excluded.cache_key, generated_at = excluded.generated_at
    RETURNING role
    """
)


def lock(session: Session, addresses: Collection[tuple[uuid.UUID, str]]) -> None:
    """Takes the locks of blobs that a transaction both refers to and adopts, all in order, so that none waits in turn.

    Bytes that are new have no row yet; nobody else waits for them.
    """
    records = [{"tenant_id": str(tenant_id), "sha256": sha256} for tenant_id, sha256 in addresses]
    session.execute(_LOCK, {"records": json.dumps(records)})


_LOCK = text(
    """
    SELECT FROM blobs WHERE (tenant_id, sha256) IN (
        SELECT tenant_id, sha256 FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS a (tenant_id uuid, sha256 text)
    )
    ORDER BY tenant_id, sha256 FOR NO KEY UPDATE
    """
)


def vectors(session: Session, job_id: uuid.UUID, embedder: str) -> Sequence[KeptVector]:
    """Where other jobs of the tenant keep what this embedder made of the generated images of a job; one place for each."""
    rows = session.execute(_VECTORS, {"job_id": job_id, "embedder": embedder})
    return [KeptVector(row.sha256, row.features_blob, row.source, row.place) for row in rows]


_VECTORS = text(
    f"""
    SELECT m.sha256, found.* FROM blob_references m CROSS JOIN LATERAL (
        SELECT j.features_blob, s.source, CAST(d.place - 1 AS int) AS place
        FROM blob_references r JOIN jobs j ON j.id = r.job_id, {_ROW},
             jsonb_array_elements(s.generated_images) WITH ORDINALITY AS d (generated_image, place)
        WHERE r.tenant_id = m.tenant_id AND r.sha256 = m.sha256 AND r.job_id <> m.job_id
              AND r.cache_key IS NOT NULL AND j.embedder = :embedder AND j.features_blob IS NOT NULL
              AND d.generated_image ->> 'blob' = r.sha256
        LIMIT 1
    ) AS found
    WHERE m.job_id = :job_id AND m.cache_key IS NOT NULL
    """  # noqa: S608 - our own words
)


def evict(session: Session, ttl: timedelta, max_entries: int, max_bytes: int) -> int:
    """Takes a portion of what is too old or too much out of the cache; how many references lost their question.

    What was used least recently goes first: ids of jobs are ordered by time.
    """
    given = {"ttl": ttl, "max_entries": max_entries, "max_bytes": max_bytes, "limit": EVICTED_AT_ONCE}
    return len(session.execute(_EVICT, given).all())


_EVICT = text(
    """
    WITH entries AS (
        SELECT r.tenant_id, r.cache_key, max(CAST(r.job_id AS text)) AS used, max(b.size) AS size,
               min(r.generated_at) AS generated_at
        FROM blob_references r JOIN blobs b USING (tenant_id, sha256)
        WHERE r.cache_key IS NOT NULL GROUP BY r.tenant_id, r.cache_key
    ), placed AS (
        SELECT tenant_id, cache_key, generated_at, row_number() OVER newest AS place, sum(size) OVER newest AS total
        FROM entries WINDOW newest AS (PARTITION BY tenant_id ORDER BY used DESC, cache_key)
    ), too_many AS (
        SELECT r.job_id, r.role FROM blob_references r JOIN placed p USING (tenant_id, cache_key)
        WHERE p.generated_at < now() - :ttl OR p.place > :max_entries OR p.total > :max_bytes
        LIMIT :limit FOR UPDATE OF r SKIP LOCKED
    )
    UPDATE blob_references r SET cache_key = NULL FROM too_many t
    WHERE r.job_id = t.job_id AND r.role = t.role
    RETURNING r.job_id
    """
)
