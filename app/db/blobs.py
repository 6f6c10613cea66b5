"""Bytes (images, vectors) in an object store, content-addressed within a tenant; `blob_repository` counts their uses.

The bytes are put first and the row second: a crash in between leaves bytes without a row,
never a row without bytes.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

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
        """Stores each, as `blob_repository.insert_references` asks for, after its commit. Raises StorageUnavailable."""
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
