"""Remembers the facts of files that were decoded a while ago, by tenant: the same bytes need not be decoded again.

Files of other tenants are not looked at: the time that an upload takes must not reveal who else has the file.
"""

import hashlib
import uuid
from pathlib import Path
from typing import Generic, TypeVar

from anyio import to_thread
from cachetools import LRUCache

# Pairs of tenant and file size, and files of one size; half a kilobyte each.
_SIZES, _FILES_OF_ONE_SIZE = 4_096, 16


Facts = TypeVar("Facts")


class DecodedFiles(Generic[Facts]):
    """The last few thousand files that were decoded without an error.

    They are looked up by size first. Most new files have a size that no known file has, and are not hashed in vain.
    """

    def __init__(self) -> None:
        self._by_size: LRUCache[tuple[uuid.UUID, int], dict[str, Facts]] = LRUCache(_SIZES)

    async def get(self, tenant_id: uuid.UUID, upload: Path) -> Facts | None:
        """The facts of a file that this tenant sent before; None also where the file cannot be read."""
        try:
            same_size = self._by_size.get((tenant_id, upload.stat().st_size))
            return None if same_size is None else same_size.get(await to_thread.run_sync(_hash, upload))
        except OSError:
            return None

    def insert(self, tenant_id: uuid.UUID, sha256: str, size: int, facts: Facts) -> None:
        """Remembers a file that was decoded completely; of files with one size, only the newest few."""
        same_size = self._by_size.setdefault((tenant_id, size), {})
        same_size[sha256] = facts
        if len(same_size) > _FILES_OF_ONE_SIZE:
            del same_size[next(iter(same_size))]


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
