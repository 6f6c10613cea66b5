"""Bytes (images, vectors) in an object store, content-addressed within a tenant; Postgres counts their uses.

The bytes are put first and the row second: a crash in between leaves bytes without a row,
never a row without bytes.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.orm import Session

from app.errors import StorageUnavailable
from app.store.models import Blob, BlobReference

# Files are put in parts; S3 takes none smaller than the first, and a disk needs none larger than the second.
_REMOTE_PART_BYTES = 5 * 1024 * 1024
_LOCAL_PART_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Bytes that have been put, and their content address."""

    tenant_id: uuid.UUID
    sha256: str
    size: int
    media_type: str


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

    def put(self, tenant_id: uuid.UUID, data: bytes, media_type: str) -> StoredBlob:
        """Stores the bytes; doing so twice is the same as once. Raises StorageUnavailable."""
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            obstore.put(self._store, _key(tenant_id, sha256), data)
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error
        return StoredBlob(tenant_id, sha256, len(data), media_type)

    def put_file(self, tenant_id: uuid.UUID, file: Path, sha256: str, media_type: str) -> StoredBlob:
        """Stores a file whose hash is known, one part in memory at a time. Raises StorageUnavailable."""
        part = _LOCAL_PART_BYTES if isinstance(self._store, LocalStore) else _REMOTE_PART_BYTES
        try:
            obstore.put(self._store, _key(tenant_id, sha256), file, chunk_size=part, max_concurrency=1)
            size = file.stat().st_size
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error
        return StoredBlob(tenant_id, sha256, size, media_type)

    def get(self, tenant_id: uuid.UUID, sha256: str) -> bytes:
        """The bytes of a content address. Raises StorageUnavailable, also when they are gone."""
        try:
            return bytes(obstore.get(self._store, _key(tenant_id, sha256)).bytes())
        except (BaseError, OSError) as error:
            raise StorageUnavailable(f"Blob {sha256[:12]} cannot be read from the store.") from error

    def delete(self, tenant_id: uuid.UUID, sha256: str) -> None:
        """Deletes the bytes; that they are gone already is fine. Raises StorageUnavailable."""
        try:
            obstore.delete(self._store, _key(tenant_id, sha256))
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise StorageUnavailable("The image store does not answer; try again in a minute.") from error


def refer(session: Session, job_id: uuid.UUID, uses: Mapping[str, StoredBlob]) -> None:
    """Records that a job uses these blobs, by role; a role that is recorded again moves to the newer blob."""
    if not uses:
        return
    # Sorted, because two leaves that insert the same two blobs in opposite order would wait for each other.
    used = sorted(uses.items(), key=lambda use: use[1].sha256)
    records = [
        {
            "role": role,
            "tenant_id": str(blob.tenant_id),
            "sha256": blob.sha256,
            "size": blob.size,
            "media_type": blob.media_type,
        }
        for role, blob in used
    ]
    session.execute(_REFER, {"job_id": job_id, "records": json.dumps(records)})


# One statement and one round trip however many blobs: a job of ten sources records dozens.
_REFER = text(
    """
    WITH uses AS (
        SELECT * FROM jsonb_to_recordset(CAST(:records AS jsonb))
            AS uses (role text, tenant_id uuid, sha256 text, size bigint, media_type text)
    ), stored AS (
        INSERT INTO blobs (tenant_id, sha256, size, media_type)
        SELECT DISTINCT ON (tenant_id, sha256) tenant_id, sha256, size, media_type FROM uses
        ORDER BY tenant_id, sha256
        ON CONFLICT DO NOTHING
    )
    INSERT INTO blob_references (job_id, role, tenant_id, sha256)
    SELECT :job_id, role, tenant_id, sha256 FROM uses
    ON CONFLICT (job_id, role) DO UPDATE SET sha256 = excluded.sha256
    """
)


def forget(session: Session, job_id: uuid.UUID) -> list[tuple[uuid.UUID, str]]:
    """Drops a job's uses of blobs, and the blobs that nobody else uses: (tenant, sha256) of the bytes to delete."""
    used = session.execute(
        delete(BlobReference)
        .where(BlobReference.job_id == job_id)
        .returning(BlobReference.tenant_id, BlobReference.sha256)
    ).all()
    gone = session.execute(
        delete(Blob)
        .where(
            tuple_(Blob.tenant_id, Blob.sha256).in_([tuple(row) for row in used]),
            ~select(BlobReference.job_id)
            .where(BlobReference.tenant_id == Blob.tenant_id, BlobReference.sha256 == Blob.sha256)
            .exists(),
        )
        .returning(Blob.tenant_id, Blob.sha256)
    )
    return [(tenant_id, sha256) for tenant_id, sha256 in gone]


def _key(tenant_id: uuid.UUID, sha256: str) -> str:
    return f"{tenant_id}/{sha256[:2]}/{sha256}"
