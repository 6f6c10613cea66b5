"""SQL of blobs and their uses: which job uses which bytes in which role, and which bytes no job uses any more."""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import TextClause, delete, select, text
from sqlalchemy.orm import Session

from app.db.blobs import Address, StoredBlob
from app.db.models import Blob, BlobReference
from app.errors import StorageUnavailable

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
    they were put. From the commit on they count as used. Raises StorageUnavailable as `deleted_meanwhile` does.
    """
    if not uses:
        return []
    used = sorted_by_hash(uses)
    records = reference_records(used, keys or {}, generated_at or {})
    return deleted_meanwhile(used, session.scalar(_REFER, {"job_id": job_id, "records": records}))


def insert_references_of_jobs(
    session: Session, uses: Mapping[tuple[uuid.UUID, str], StoredBlob], keys: Mapping[tuple[uuid.UUID, str], str]
) -> list[StoredBlob]:
    """`insert_references` for several jobs whose rows are locked; uses and keys are by job and role."""
    if not uses:
        return []
    used = sorted(uses.items(), key=lambda use: use[1].sha256)
    records = [_record(role, blob, keys.get((job_id, role))) | {"job_id": str(job_id)} for (job_id, role), blob in used]
    gone = session.scalar(_REFER_JOBS, {"records": json.dumps(records)})
    to_put = deleted_meanwhile([(role, blob) for (_, role), blob in used], gone)
    return list({(blob.tenant_id, blob.sha256): blob for blob in to_put}.values())


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
    """`insert_references` as parts of a WITH clause. Select GONE after it, and pass that to `deleted_meanwhile`.

    `job` is SQL: a table with an `id`; without a row, nothing is recorded. The job's row is locked before those of the
    blobs, as in a deletion.
    One statement and one round trip however many blobs: a job of ten sources records dozens.
    """
    return f"""
    uses AS (
        SELECT job.id AS job_id, new.*
        FROM {job} AS job, jsonb_to_recordset(CAST(:records AS jsonb))
            new ({_USE})
    ), {_STORING}
    """  # noqa: S608 - our own words


_USE = """role text, tenant_id uuid, sha256 text, size bigint, media_type text,
                    cache_key text, generated_at timestamptz"""
_STORING = """stored AS (
        INSERT INTO blobs (tenant_id, sha256, size, media_type)
        SELECT DISTINCT ON (1, 2) tenant_id, sha256, size, media_type FROM uses ORDER BY 1, 2
        ON CONFLICT (tenant_id, sha256)
            DO UPDATE SET size = excluded.size, media_type = excluded.media_type, deleted_at = NULL,
                          due_at = NULL
        RETURNING sha256, old.deleted_at, old.due_at > now() busy
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
# Of the blobs that were deleted meanwhile: whether a process is deleting the bytes at this moment, by hash.
GONE = "(SELECT jsonb_object_agg(sha256, busy) FROM stored WHERE deleted_at IS NOT NULL)"
_REFER = text(f"WITH {references_cte(_THIS_JOB)} SELECT {GONE}")
_REFER_JOBS = text(
    f"""
    WITH uses AS (SELECT * FROM jsonb_to_recordset(CAST(:records AS jsonb)) AS new (job_id uuid, {_USE})), {_STORING}
    SELECT jsonb_object_agg(sha256, busy)
    FROM (SELECT sha256, bool_or(busy) AS busy FROM stored WHERE deleted_at IS NOT NULL GROUP BY 1) gone
    """  # noqa: S608 - our own words
)


def deleted_meanwhile(
    used: Iterable[tuple[str, StoredBlob]], gone: Mapping[str, bool | None] | None
) -> list[StoredBlob]:
    """The blobs to be put again after the commit.

    Raises StorageUnavailable where bytes are being deleted at this moment: what is put now may be deleted after it.
    """
    if not gone:
        return []
    if any(gone.values()):
        raise StorageUnavailable(
            "The same image is being deleted just now; try again in a few seconds.", headers={"Retry-After": "5"}
        )
    return [blob for _, blob in used if blob.sha256 in gone]


def delete_references(session: Session, job_id: uuid.UUID, except_for: Collection[str] = ()) -> list[Address]:
    """Deletes a job's uses of blobs; returns the blobs that no other job uses, see `mark_unreferenced_deleted`."""
    used = session.execute(
        delete(BlobReference)
        .where(BlobReference.job_id == job_id, BlobReference.role.not_in(except_for))
        .returning(BlobReference.tenant_id, BlobReference.sha256)
    ).all()
    return mark_unreferenced_deleted(session, {(tenant_id, sha256) for tenant_id, sha256 in used})


def mark_unreferenced_deleted(session: Session, addresses: Collection[Address]) -> list[Address]:
    """Marks those that no job uses as deleted, and returns them. From the commit on their bytes are due to be deleted.

    A transaction that stores the same bytes meanwhile waits in `insert_references` for that commit, and sees it then.
    """
    if not addresses:
        return []
    given = {"records": _records(sorted(addresses))}
    session.execute(_LOCK, given)
    # A statement of its own: it has to see what was committed while the one before waited for its locks.
    return [(tenant_id, sha256) for tenant_id, sha256 in session.execute(_DROP, given)]


def claim_deletions(session: Session, lease: timedelta, addresses: Collection[Address]) -> list[Address]:
    """Of these, those whose bytes are due to be deleted. Until the lease ends this process alone may delete them.

    For so long `insert_references` refuses the same bytes.
    """
    found = session.execute(_CLAIM_GIVEN, {"lease": lease, "records": _records(sorted(addresses))})
    return [(tenant_id, sha256) for tenant_id, sha256 in found]


def claim_due_deletions(session: Session, lease: timedelta, limit: int) -> list[Address]:
    """As `claim_deletions`, of all that are due, those that have waited longest first."""
    found = session.execute(_CLAIM_DUE, {"lease": lease, "limit": limit})
    return [(tenant_id, sha256) for tenant_id, sha256 in found]


def confirm_deletions(session: Session, addresses: Collection[Address]) -> None:
    """Records that the bytes are deleted."""
    session.execute(_CONFIRM, {"records": _records(sorted(addresses))})


def _records(addresses: Iterable[Address]) -> str:
    return json.dumps([{"tenant_id": str(tenant_id), "sha256": sha256} for tenant_id, sha256 in addresses])


def list_unrecorded(session: Session, addresses: Collection[Address]) -> set[Address]:
    """Those without a row: a process died between storing the bytes and committing."""
    if not addresses:
        return set()
    known = session.execute(_KNOWN, {"records": _records(addresses)})
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
    UPDATE blobs b SET deleted_at = now(), due_at = coalesce(b.due_at, 'epoch') FROM {_ADDRESSES}
    WHERE b.tenant_id = a.tenant_id AND b.sha256 = a.sha256 AND NOT EXISTS (
        SELECT FROM blob_references r WHERE r.tenant_id = b.tenant_id AND r.sha256 = b.sha256
    )
    RETURNING b.tenant_id, b.sha256
    """  # noqa: S608 - our own words
)


def _claiming(due: str) -> TextClause:
    # Locked by a transaction that uses the bytes again, a row is skipped; locks are taken in the order of all others.
    return text(
        f"""
        UPDATE blobs b SET due_at = clock_timestamp() + :lease FROM ({due} FOR UPDATE OF d SKIP LOCKED) d
        WHERE b.tenant_id = d.tenant_id AND b.sha256 = d.sha256 AND b.due_at <= clock_timestamp()
        RETURNING b.tenant_id, b.sha256
        """  # noqa: S608 - our own words
    )


_CLAIM_GIVEN = _claiming(
    f"SELECT d.tenant_id, d.sha256 FROM blobs d JOIN {_ADDRESSES} USING (tenant_id, sha256)"  # noqa: S608 - our own words
)
_CLAIM_DUE = _claiming(
    "SELECT d.tenant_id, d.sha256 FROM blobs d WHERE d.due_at <= clock_timestamp()"
    " ORDER BY d.due_at, d.deleted_at LIMIT :limit"
)
_CONFIRM = text(
    f"""
    WITH locked AS (
        SELECT b.tenant_id, b.sha256 FROM blobs b JOIN {_ADDRESSES} USING (tenant_id, sha256)
        WHERE b.deleted_at IS NOT NULL ORDER BY b.tenant_id, b.sha256 FOR UPDATE OF b
    )
    UPDATE blobs b SET due_at = NULL FROM locked l WHERE b.tenant_id = l.tenant_id AND b.sha256 = l.sha256
    """  # noqa: S608 - our own words
)


def delete_old_tombstones(session: Session, longer_than: timedelta) -> None:
    """Deletes the rows of bytes that were deleted so long ago that no transaction can have stored them just before."""
    session.execute(_FORGET_GONE, {"span": longer_than})


_FORGET_GONE = text(
    """
    DELETE FROM blobs b WHERE deleted_at < now() - :span AND due_at IS NULL AND NOT EXISTS (
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
