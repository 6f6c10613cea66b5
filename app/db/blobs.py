"""Bytes (images, vectors) in an object store, content-addressed within a tenant; `blob_repository` counts their uses.

The bytes are put first and the row second: a crash in between leaves bytes without a row,
never a row without bytes.
"""

import filecmp
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.errors import StorageUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

log = structlog.get_logger(__name__)

# Files are put in parts; S3 takes none that is smaller.
_PART_BYTES = 5 * 1024 * 1024
# Of what is held in memory of an image that is being sent.
_PIECE_BYTES = 256 * 1024
_LISTED_AT_ONCE = 1_000
# A store that does not answer is given up, retries included, long before a claim to delete from it ends.
_TIMEOUT = timedelta(seconds=15)
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": _TIMEOUT}
_CONNECT_TIMEOUT = timedelta(seconds=5)

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
        # Options of the client replace those of the environment; a store in the same network may do without TLS.
        allow_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
        client: ClientConfig = {"timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "allow_http": allow_http}
        return from_url(url, client_options=client, retry_config=_RETRY)
    return LocalStore(Path(unquote(parts.netloc + parts.path)).resolve(), mkdir=True)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Turns what the store raises into StorageUnavailable; FileNotFoundError remains."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        log.warning("blob_store_unavailable", error=type(error).__name__)
        raise StorageUnavailable("The image store does not answer; try again in a minute.") from error


class Blobs:
    """Puts and gets bytes. Keys carry the tenant, so that the same image in two tenants is two objects."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        """With `durable`, an uploaded file that was put in a folder survives a crash of the host."""
        self._store = open_store(url)
        self._folder = Path(str(self._store.prefix)) if isinstance(self._store, LocalStore) else None
        self._durable = durable

    @property
    def is_folder(self) -> bool:
        """Whether putting a file takes neither memory nor, where it can be linked, much time."""
        return self._folder is not None

    def put(self, tenant_id: uuid.UUID, data: bytes, media_type: str) -> StoredBlob:
        """Stores the bytes; doing so twice is the same as once. Raises StorageUnavailable."""
        sha256 = hashlib.sha256(data).hexdigest()
        with _store_errors():
            obstore.put(self._store, _key(tenant_id, sha256), data)
        return StoredBlob(tenant_id, sha256, len(data), media_type, data)

    def put_file(self, tenant_id: uuid.UUID, file: Path, sha256: str, media_type: str) -> StoredBlob:
        """Stores a file whose hash is known, one part in memory at a time. Raises StorageUnavailable."""
        key = _key(tenant_id, sha256)
        try:
            if self._folder is None:
                obstore.put(self._store, key, file, chunk_size=_PART_BYTES, max_concurrency=1)
            else:
                _link_or_copy(file, self._folder / key, self._durable)
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
        with _store_errors():
            found = obstore.get(self._store, _key(tenant_id, sha256))
        return _pieces(found)

    def delete(self, tenant_id: uuid.UUID, sha256: str) -> None:
        """Deletes the bytes; that they are gone already is fine. Raises StorageUnavailable."""
        self.delete_all([(tenant_id, sha256)])

    def delete_all(self, addresses: Sequence[Address], until: float | None = None) -> None:
        """Deletes the bytes of each; in an object store a thousand with one request. Raises StorageUnavailable.

        Nothing is deleted after `until`, a time of the monotonic clock, where one is given.
        """
        keys = [_key(tenant_id, sha256) for tenant_id, sha256 in addresses]
        # Most stores take a list. A folder's files are deleted one by one, and one that is not there ends a list.
        portions = [keys] if self._folder is None else [[key] for key in keys]
        for portion in filter(None, portions):
            if until is not None and time.monotonic() > until:
                raise StorageUnavailable("Deleting from the image store took too long; what is left is deleted later.")
            with suppress(FileNotFoundError), _store_errors():
                obstore.delete(self._store, portion)

    def exists(self, tenant_id: uuid.UUID, sha256: str) -> bool:
        """Whether the bytes are there. Raises StorageUnavailable."""
        try:
            with _store_errors():
                obstore.head(self._store, _key(tenant_id, sha256))
        except FileNotFoundError:
            return False
        return True

    def listed(self, older_than: timedelta) -> Iterator[list[Address]]:
        """Everything of ours that lies in the store since longer than that, in portions. Raises StorageUnavailable.

        What else lies there is left alone. Of a folder, files that a killed process did not finish are deleted.
        """
        before = datetime.now(UTC) - older_than
        foreign = 0
        with _store_errors():
            if self._folder is not None:
                _delete_unfinished(self._folder, before)
            for portion in obstore.list(self._store, chunk_size=_LISTED_AT_ONCE):
                old = [each["path"] for each in portion if each["last_modified"] < before]
                ours = [address for address in map(_address, old) if address is not None]
                foreign += len(old) - len(ours)
                yield ours
        if foreign:
            log.warning("foreign_objects_in_store", objects=foreign)


async def _pieces(found: "obstore.GetResult") -> AsyncIterator[bytes]:
    async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
        yield bytes(piece)


def _link_or_copy(file: Path, to: Path, durable: bool) -> None:
    """Gives a file a second name, which takes microseconds; where that cannot be, the kernel copies it.

    It gets its name once all of it is on the disk: what has a name is whole, also after a crash of the host.
    """
    if _is_there(file, to):
        if durable:
            _sync(to.parent)
        return
    made = _make_folder(to.parent)
    # The local store takes names with a number after the sign for unfinished files, too, and does not list them.
    new = to.with_name(f"{to.name}#{uuid.uuid4().int}")
    try:
        try:
            os.link(file, new)
        except OSError:  # another file system
            shutil.copyfile(file, new)
        if durable:
            _sync(new)
        new.replace(to)
        new.unlink(missing_ok=True)  # of two names of one file, `replace` leaves both
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if durable:
        for folder in (to.parent, *made):
            _sync(folder)


def _is_there(file: Path, to: Path) -> bool:
    """Whether the same bytes are stored. Equal sizes do not say so: a crash may have left a file of zeros."""
    try:
        if not filecmp.cmp(file, to, shallow=False):
            return False
        os.utime(to)  # who deletes strays looks at their age
    except FileNotFoundError:
        return False
    return True


def _make_folder(folder: Path) -> list[Path]:
    """Makes a folder where it is not there; returns the folders whose entries that changed."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [each.parent for each in missing]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_unfinished(folder: Path, before: datetime) -> None:
    for file in folder.glob("*/*/*#*"):
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < before.timestamp():
                file.unlink()


_OURS = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9a-f]{2})/(\2[0-9a-f]{62})")


def _address(key: str) -> Address | None:
    """The address that a key was made of; None for a key that is not ours."""
    found = _OURS.fullmatch(key)
    return None if found is None else (uuid.UUID(found[1]), found[3])


def _key(tenant_id: uuid.UUID, sha256: str) -> str:
    return f"{tenant_id}/{sha256[:2]}/{sha256}"
