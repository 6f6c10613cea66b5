"""The repository of cached images: generated images of earlier jobs, found by cache key.

An entry is a job's own reference to the image's bytes, with the key. It lasts as long as some job that used the image:
whatever deletes the reference deletes the entry. A job that uses a cached image refers to it under the same key, with
the time at which it was first generated.
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

EVICTION_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class CachedImage:
    """A generated image of an earlier job.

    `generated_image` is as in that job's row, with `generated_at`; `reason` is the remark on its source, if any.
    """

    key: str
    tenant_id: uuid.UUID
    sha256: str
    generated_image: Mapping[str, Any]
    reason: str | None


@dataclass(frozen=True, slots=True)
class CachedVector:
    """Where an image's feature vector is stored: in another job's feature file, at a place of a source."""

    sha256: str
    features_blob: str
    source: str
    place: int


def find_by_keys(
    session: Session, tenant_id: uuid.UUID, keys: Collection[str], ttl: timedelta, shared: bool = False
) -> dict[str, CachedImage]:
    """The cached images of a tenant by key, in one statement; with `shared` those of all tenants, its own preferred."""
    given = {"tenant_id": tenant_id, "keys": list(keys), "ttl": ttl}
    rows = session.execute(_FIND_SHARED if shared else _FIND, given)
    return {row.key: CachedImage(row.key, row.tenant_id, row.sha256, row.generated_image, row.reason) for row in rows}


# The row of the source that generated the referenced image. OFFSET 0 keeps the planner from reversing the join: with
# statistics of an empty table it read all rows of all jobs, once for each key.
_ROW = f"""
    LATERAL (SELECT * FROM job_sources WHERE job_id = r.job_id AND source = {source_of_role("r.role")} OFFSET 0) AS s
"""  # noqa: S608 - our own words


def _finding(tenants: str, order: str) -> str:
    return f"""
        SELECT wanted.key, found.*
        FROM unnest(CAST(:keys AS text[])) AS wanted (key) CROSS JOIN LATERAL (
            SELECT r.tenant_id, r.sha256, s.reason,
                   d.generated_image || jsonb_build_object('generated_at', r.generated_at) AS generated_image
            FROM blob_references r, {_ROW}, jsonb_array_elements(s.generated_images) AS d (generated_image)
            WHERE r.cache_key = wanted.key AND {tenants} AND r.generated_at > now() - :ttl AND s.state = 'done'
                  AND d.generated_image ->> 'blob' = r.sha256
            {order} LIMIT 1
        ) AS found
        """  # noqa: S608 - our own words


_FIND = text(_finding("r.tenant_id = :tenant_id", ""))
_FIND_SHARED = text(_finding("true", "ORDER BY r.tenant_id <> :tenant_id"))


def insert_uses(session: Session, job_id: uuid.UUID, uses: Mapping[str, CachedImage]) -> set[str]:
    """Records that a job uses cached images of its own tenant, by role; returns the roles that were recorded.

    The images of the others have been deleted meanwhile. The blobs' rows are locked: a deletion either waits and then
    sees another user, or it came first, and what it deleted is not used.
    """
    if not uses:
        return set()
    records = [
        {
            "role": role,
            "tenant_id": str(cached.tenant_id),
            "sha256": cached.sha256,
            "cache_key": cached.key,
            "generated_at": cached.generated_image["generated_at"],
        }
        for role, cached in uses.items()
    ]
    return set(session.scalars(_INSERT_USES, {"job_id": job_id, "records": json.dumps(records)}))


# `insert_references` and `mark_unreferenced_deleted` of `app.db.blob_repository` take their locks in the same order.
_INSERT_USES = text(
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


def lock_blobs(session: Session, addresses: Collection[tuple[uuid.UUID, str]]) -> None:
    """Locks, in order, the blobs of a transaction that both inserts references and uses cached images.

    Two such transactions then cannot wait for each other. New bytes have no row yet, and no other transaction waits
    for them.
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


def list_vectors(session: Session, job_id: uuid.UUID, embedder: str) -> Sequence[CachedVector]:
    """Where other jobs of the tenant keep this embedder's vectors of a job's generated images; one place for each."""
    rows = session.execute(_LIST_VECTORS, {"job_id": job_id, "embedder": embedder})
    return [CachedVector(row.sha256, row.features_blob, row.source, row.place) for row in rows]


_LIST_VECTORS = text(
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
    """Removes one batch of expired or excess entries from the cache; returns how many references lost their key.

    The least recently used entries of a tenant are removed first: ids of jobs are ordered by time.
    """
    given = {"ttl": ttl, "max_entries": max_entries, "max_bytes": max_bytes, "limit": EVICTION_BATCH}
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
