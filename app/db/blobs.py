"""Bytes (images, vectors) in an object store, content-addressed within a tenant; Postgres counts their uses.

The bytes are put first and the row second: a crash in between leaves bytes without a row,
never a row without bytes.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.db.models import Blob, BlobReference
from app.errors import StorageUnavailable

# Files are put in parts; S3 takes none that is smaller.
_PART_BYTES = 5 * 1024 * 1024


# Of bytes: the tenant and the SHA-256.
Address = tuple[uuid.UUID, str]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes that have been put, and their content address. Where they came from is kept until they are recorded."""

    tenant_id: uuid.UUID
    sha256: str
    size: int
    media_type: str
    content: bytes | Path | None = field(default=None, repr=False, compare=False)


def open_store(url: str) -> ObjectStore:
    """The object store of a URL; a local directory is created, and may be given relative to where we run."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return from_url(url)
    return LocalStore(Path(unquote(parts.netloc + parts.path)).resolve(), mkdir=True)


class Blobs:
    """Puts and gets bytes. Keys carry the tenant, so that the same image in two tenants is two objects."""

    def __init__(self, url: str) -> None:
        self._store = open_store(url)
        self._folder = Path(str(self._store.prefix)) if isinstance(self._store, LocalStore) else None

    @property
    def is_folder(self) -> bool:
        """Whether putting a file takes neither memory nor, where it can be linked, time."""
        return self._folder is not None

    def put(self, tenant_id: uuid.UUID, data: bytes, media_type: str) -> StoredBlob:
        """Stores the bytes; doing so twice is the same as once. Raises StorageUnavailable."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            obstore.put(self._store, _key(tenant_id, sha256), data)
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error
        return StoredBlob(tenant_id, sha256, len(data), media_type, data)

    def put_file(self, tenant_id: uuid.UUID, file: Path, sha256: str, media_type: str) -> StoredBlob:
        """Stores a file whose hash is known, one part in memory at a time. Raises StorageUnavailable."""
        key = _key(tenant_id, sha256)
        try:
            if self._folder is None:
                obstore.put(self._store, key, file, chunk_size=_PART_BYTES, max_concurrency=1)
            else:
                _link_or_copy(file, self._folder / key)
            return StoredBlob(tenant_id, sha256, file.stat().st_size, media_type, file)
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error

    def put_all(self, blobs: Iterable[StoredBlob]) -> None:
        """Stores each, as what `insert_references` said is lost, after its commit. Raises StorageUnavailable."""
        for blob in blobs:
            if isinstance(blob.content, bytes):
                self.put(blob.tenant_id, blob.content, blob.media_type)
            elif blob.content is not None:
                self.put_file(blob.tenant_id, blob.content, blob.sha256, blob.media_type)

    def get(self, tenant_id: uuid.UUID, sha256: str) -> bytes:
        """The bytes of a content address. Raises StorageUnavailable, also when they are gone."""
        try:
            return bytes(obstore.get(self._store, _key(tenant_id, sha256)).bytes())
        except (BaseError, OSError) as error:
            raise StorageUnavailable(f"Blob {sha256[:12]} cannot be read from the store.") from error

    def open(self, tenant_id: uuid.UUID, sha256: str) -> AsyncIterator[bytes]:
        """The bytes, piece by piece. Raises StorageUnavailable, and FileNotFoundError when they are gone."""
        try:
            found = obstore.get(self._store, _key(tenant_id, sha256))
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error
        return _pieces(found)

    def delete(self, tenant_id: uuid.UUID, sha256: str) -> None:
        """Deletes the bytes; that they are gone already is fine. Raises StorageUnavailable."""
        try:
            obstore.delete(self._store, _key(tenant_id, sha256))
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error

    def delete_all(self, addresses: Iterable[Address]) -> None:
        """Deletes the bytes of each. Raises StorageUnavailable."""
        for tenant_id, sha256 in addresses:
            self.delete(tenant_id, sha256)

    def exists(self, tenant_id: uuid.UUID, sha256: str) -> bool:
        """Whether the bytes are there. Raises StorageUnavailable."""
        try:
            obstore.head(self._store, _key(tenant_id, sha256))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error
        return True

    def listed(self, older_than: timedelta) -> Iterator[list[Address]]:
        """Everything that lies in the store since longer than that, in portions. Raises StorageUnavailable."""
        before = datetime.now(UTC) - older_than
        try:
            for portion in obstore.list(self._store):
                yield [_address(each["path"]) for each in portion if each["last_modified"] < before]
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error


def insert_references(
    session: Session,
    job_id: uuid.UUID,
    uses: Mapping[str, StoredBlob],
    keys: Mapping[str, str] | None = None,
    generated_at: Mapping[str, str] | None = None,
) -> list[StoredBlob]:
    """Records that a job uses these blobs, by role; a role that is recorded again moves to the newer blob.

    `keys` name the questions of those that may be used again, by role; `generated_at` the times of those that were not
    generated just now. Returns those that are to be put again after the commit: a deletion may have taken their bytes
    along since they were put. From the commit on they count as used.
    """
    if not uses:
        return []
    used = sorted_by_hash(uses)
    gone = set(
        session.scalars(_REFER, {"job_id": job_id, "records": reference_records(used, keys or {}, generated_at or {})})
    )
    return [blob for _, blob in used if blob.sha256 in gone]


def sorted_by_hash(uses: Mapping[str, StoredBlob]) -> list[tuple[str, StoredBlob]]:
    """Sorted: two leaves that insert the same two blobs in opposite order would wait for each other."""
    return sorted(uses.items(), key=lambda use: use[1].sha256)


def reference_records(
    used: Iterable[tuple[str, StoredBlob]],
    keys: Mapping[str, str] = MappingProxyType({}),
    generated_at: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """What `references_cte` is given as :records."""
    return json.dumps(
        [
            {
                "role": role,
                "tenant_id": str(blob.tenant_id),
                "sha256": blob.sha256,
                "size": blob.size,
                "media_type": blob.media_type,
                "cache_key": keys.get(role),
                "generated_at": generated_at.get(role),
            }
            for role, blob in used
        ]
    )


def references_cte(job: str) -> str:
    """`insert_references` as parts of a WITH clause, in which `stored` tells what is gone; `job` is SQL: something that has an id.

    Where it has no row, nothing is recorded. Its row is locked before those of the blobs, as whoever deletes does.
    One statement and one round trip however many blobs: a job of ten sources records dozens.
    """
    return f"""
    uses AS (
        SELECT job.id AS job_id, new.*
        FROM {job} AS job, jsonb_to_recordset(CAST(:records AS jsonb))
            AS new (role text, tenant_id uuid, sha256 text, size bigint, media_type text,
                    cache_key text, generated_at timestamptz)
    ), stored AS (
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
    """  # noqa: S608 - our own words


_THIS_JOB = "(SELECT CAST(:job_id AS uuid) AS id)"
_REFER = text(f"WITH {references_cte(_THIS_JOB)} SELECT sha256 FROM stored WHERE deleted_at IS NOT NULL")  # noqa: S608 - ours


def delete_references(session: Session, job_id: uuid.UUID, except_for: Collection[str] = ()) -> list[Address]:
    """Drops a job's uses of blobs, and the blobs that nobody else uses: the bytes to delete before the commit."""
    used = session.execute(
        delete(BlobReference)
        .where(BlobReference.job_id == job_id, BlobReference.role.not_in(except_for))
        .returning(BlobReference.tenant_id, BlobReference.sha256)
    ).all()
    return mark_unreferenced_deleted(session, {(tenant_id, sha256) for tenant_id, sha256 in used})


def mark_unreferenced_deleted(session: Session, addresses: Collection[Address]) -> list[Address]:
    """Those that no job uses. Their rows say that they are gone, and are locked: delete the bytes before the commit.

    Whoever stores the same bytes meanwhile waits in `insert_references` for that commit, and then hears of it.
    """
    if not addresses:
        return []
    records = [{"tenant_id": str(tenant_id), "sha256": sha256} for tenant_id, sha256 in sorted(addresses)]
    given = {"records": json.dumps(records)}
    session.execute(_LOCK, given)
    # A statement of its own: it has to see what was committed while the one before waited for its locks.
    return [(tenant_id, sha256) for tenant_id, sha256 in session.execute(_DROP, given)]


def list_unrecorded(session: Session, addresses: Collection[Address]) -> set[Address]:
    """Those that should not be there: a process died between storing the bytes and committing."""
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
    """Drops the rows of bytes that are gone for so long that nobody can have stored them just before."""
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


async def _pieces(found: "obstore.GetResult") -> AsyncIterator[bytes]:
    async for piece in found.stream():
        yield bytes(piece)


def _link_or_copy(file: Path, to: Path) -> None:
    """Gives a file a second name, which takes microseconds; where that cannot be, the kernel copies it."""
    if _is_there(file, to):
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, to)
    except OSError:  # another file system, or what is there was cut off
        new = to.with_name(f"{to.name}#{uuid.uuid4().hex}")
        shutil.copyfile(file, new)
        new.replace(to)


def _is_there(file: Path, to: Path) -> bool:
    """Whether the bytes are stored: a name is its content's hash, and only a crash of the machine cuts a file off."""
    try:
        if to.stat().st_size != file.stat().st_size:
            return False
        os.utime(to)  # who deletes strays looks at their age
    except FileNotFoundError:
        return False
    return True


def _address(key: str) -> Address:
    tenant_id, _, sha256 = key.split("/")
    return uuid.UUID(tenant_id), sha256


def _key(tenant_id: uuid.UUID, sha256: str) -> str:
    return f"{tenant_id}/{sha256[:2]}/{sha256}"
