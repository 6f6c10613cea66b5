"""SQL of blobs and their uses: which job uses which bytes in which role, and which bytes no job uses any more."""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.db.blobs import Address, StoredBlob
from app.db.models import Blob, BlobReference

# The roles in which a job uses blobs: its image as it came, as the models see it, and the vectors.
ORIGINAL, QUERY, FEATURES = "original", "query", "features"


def image_role(source: str, k: int) -> str:
    """The role in which a job uses the k-th generated image of a source."""
    return f"{source}/{k}"


def source_of_role(role: str) -> str:
    """As SQL: the source of a role that `image_role` made; `role` is SQL, too."""
    return f"split_part({role}, '/', 1)"


def insert_references(
    session: Session,
    job_id: uuid.UUID,
    uses: Mapping[str, StoredBlob],
    keys: Mapping[str, str] | None = None,
    generated_at: Mapping[str, str] | None = None,
) -> list[StoredBlob]:
    """Records that a job uses these blobs, by role; a role that is recorded again moves to the newer blob.

    `keys` are the cache keys of those that may be used again, by role; `generated_at` the times of those that were not
    generated just now. Returns those to be put again after the commit: a deletion may have removed their bytes since
    they were put. From the commit on they count as used.
    """
    if not uses:
        return []
    used = sorted_by_hash(uses)
    gone = set(
        session.scalars(_REFER, {"job_id": job_id, "records": reference_records(used, keys or {}, generated_at or {})})
    )
    return [blob for _, blob in used if blob.sha256 in gone]


def insert_references_of_jobs(
    session: Session, uses: Mapping[tuple[uuid.UUID, str], StoredBlob], keys: Mapping[tuple[uuid.UUID, str], str]
) -> list[StoredBlob]:
    """`insert_references` for several jobs whose rows are locked; uses and keys are by job and role."""
    if not uses:
        return []
    used = sorted(uses.items(), key=lambda use: use[1].sha256)
    records = [_record(role, blob, keys.get((job_id, role))) | {"job_id": str(job_id)} for (job_id, role), blob in used]
    gone = set(session.scalars(_REFER_JOBS, {"records": json.dumps(records)}))
    return list({(blob.tenant_id, blob.sha256): blob for _, blob in used if blob.sha256 in gone}.values())


def sorted_by_hash(uses: Mapping[str, StoredBlob]) -> list[tuple[str, StoredBlob]]:
    """Sorted: two transactions that insert the same two blobs in opposite order would wait for each other."""
    return sorted(uses.items(), key=lambda use: use[1].sha256)


def reference_records(
    used: Iterable[tuple[str, StoredBlob]],
    keys: Mapping[str, str] = MappingProxyType({}),
    generated_at: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """What `references_cte` takes as :records."""
    return json.dumps([_record(role, blob, keys.get(role), generated_at.get(role)) for role, blob in used])


def _record(role: str, blob: StoredBlob, key: str | None = None, generated_at: str | None = None) -> dict[str, Any]:
    return {
        "role": role,
        "tenant_id": str(blob.tenant_id),
        "sha256": blob.sha256,
        "size": blob.size,
        "media_type": blob.media_type,
        "cache_key": key,
        "generated_at": generated_at,
    }


def references_cte(job: str) -> str:
    """`insert_references` as parts of a WITH clause, whose `stored` has the blobs that were deleted meanwhile.

    `job` is SQL: a table with an `id`; without a row, nothing is recorded. The job's row is locked before those of the
    blobs, as in a deletion.
    One statement and one round trip however many blobs: a job of ten sources records dozens.
    """
    return f"""
    uses AS (
        SELECT job.id AS job_id, new.*
        FROM {job} AS job, jsonb_to_recordset(CAST(:records AS jsonb))
            AS new ({_USE})
    ), {_STORING}
    """  # noqa: S608 - our own words


_USE = """role text, tenant_id uuid, sha256 text, size bigint, media_type text,
                    cache_key text, generated_at timestamptz"""
_STORING = """stored AS (
        INSERT INTO blobs (tenant_id, sha256, size, media_type)
        SELECT DISTINCT ON (tenant_id, sha256) tenant_id, sha256, size, media_type FROM uses
        ORDER BY tenant_id, sha256
        ON CONFLICT (tenant_id, sha256)
            DO UPDATE SET size = excluded.size, media_type = excluded.media_type, deleted_at = NULL
        RETURNING blobs.sha256, old.deleted_at
    ), referred AS (
        INSERT INTO blob_references (job_id, role, tenant_id, sha256, cache_key, generated_at)
        SELECT job_id, role, tenant_id, sha256, cache_key, CASE WHEN cache_key IS NOT NULL
               THEN coalesce(generated_at, now()) END
        FROM uses
        ON CONFLICT (job_id, role) DO UPDATE
            SET sha256 = excluded.sha256, cache_key = excluded.cache_key, generated_at = excluded.generated_at
    )
"""


_THIS_JOB = "(SELECT CAST(:job_id AS uuid) AS id)"
_REFER = text(f"WITH {references_cte(_THIS_JOB)} SELECT sha256 FROM stored WHERE deleted_at IS NOT NULL")  # noqa: S608 - ours
_REFER_JOBS = text(
    f"""
    WITH uses AS (SELECT * FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS new (job_id uuid, {_USE})), {_STORING}
    SELECT sha256 FROM stored WHERE deleted_at IS NOT NULL
    """  # noqa: S608 - our own words
)


def delete_references(session: Session, job_id: uuid.UUID, except_for: Collection[str] = ()) -> list[Address]:
    """Deletes a job's uses of blobs; returns the bytes that no other job uses, to be deleted before the commit."""
    used = session.execute(
        delete(BlobReference)
        .where(BlobReference.job_id == job_id, BlobReference.role.not_in(except_for))
        .returning(BlobReference.tenant_id, BlobReference.sha256)
    ).all()
    return mark_unreferenced_deleted(session, {(tenant_id, sha256) for tenant_id, sha256 in used})


def mark_unreferenced_deleted(session: Session, addresses: Collection[Address]) -> list[Address]:
    """Marks those that no job uses as deleted and locks their rows; returns them. Delete the bytes before the commit.

    A transaction that stores the same bytes meanwhile waits in `insert_references` for that commit, and sees it then.
    """
    if not addresses:
        return []
    records = [{"tenant_id": str(tenant_id), "sha256": sha256} for tenant_id, sha256 in sorted(addresses)]
    given = {"records": json.dumps(records)}
    session.execute(_LOCK, given)
    # A statement of its own: it has to see what was committed while the one before waited for its locks.
    return [(tenant_id, sha256) for tenant_id, sha256 in session.execute(_DROP, given)]


def list_unrecorded(session: Session, addresses: Collection[Address]) -> set[Address]:
    """Those without a row: a process died between storing the bytes and committing."""
    if not addresses:
        return set()
    records = [{"tenant_id": str(tenant_id), "sha256": sha256} for tenant_id, sha256 in addresses]
    known = session.execute(_KNOWN, {"records": json.dumps(records)})
    return set(addresses) - {(tenant_id, sha256) for tenant_id, sha256 in known}


_ADDRESSES = "jsonb_to_recordset(CAST(:records AS jsonb)) AS a (tenant_id uuid, sha256 text)"
_KNOWN = text(
    f"""
    SELECT b.tenant_id, b.sha256 FROM blobs b JOIN {_ADDRESSES} USING (tenant_id, sha256) WHERE b.deleted_at IS NULL
    """  # noqa: S608 - our own words
)
_LOCK = text(
    f"""
    INSERT INTO blobs (tenant_id, sha256, size, media_type)
    SELECT a.tenant_id, a.sha256, 0, '' FROM {_ADDRESSES} ORDER BY a.tenant_id, a.sha256
    ON CONFLICT (tenant_id, sha256) DO UPDATE SET size = blobs.size
    """  # noqa: S608 - our own words
)
_DROP = text(
    f"""
    UPDATE blobs b SET deleted_at = now() FROM {_ADDRESSES}
    WHERE b.tenant_id = a.tenant_id AND b.sha256 = a.sha256 AND NOT EXISTS (
        SELECT FROM blob_references r WHERE r.tenant_id = b.tenant_id AND r.sha256 = b.sha256
    )
    RETURNING b.tenant_id, b.sha256
    """  # noqa: S608 - our own words
)


def delete_old_tombstones(session: Session, longer_than: timedelta) -> None:
    """Deletes the rows of bytes that were deleted so long ago that no transaction can have stored them just before."""
    session.execute(_FORGET_GONE, {"span": longer_than})


_FORGET_GONE = text(
    """
    DELETE FROM blobs b WHERE deleted_at < now() - :span AND NOT EXISTS (
        SELECT FROM blob_references r WHERE r.tenant_id = b.tenant_id AND r.sha256 = b.sha256
    )
    """
)


def get_by_role(session: Session, job_id: uuid.UUID, role: str) -> StoredBlob | None:
    """What a job uses in a role."""
    row = session.execute(
        select(Blob)
        .join(BlobReference, (BlobReference.tenant_id == Blob.tenant_id) & (BlobReference.sha256 == Blob.sha256))
        .where(BlobReference.job_id == job_id, BlobReference.role == role)
    ).scalar_one_or_none()
    return None if row is None else StoredBlob(row.tenant_id, row.sha256, row.size, row.media_type)
