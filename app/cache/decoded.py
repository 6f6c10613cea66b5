"""What files turned out to be that were decoded a while ago, by tenant: the same bytes need not be decoded again.

Of another tenant's files nothing is known here: how quickly an upload is taken must not tell who else has the file.
"""

import hashlib
import uuid
from pathlib import Path

from anyio import to_thread
from cachetools import LRUCache

from app.intake.decoding import Decoded

# Sizes, and files of one size; half a kilobyte each.
_KEPT, _ALIKE = 4_096, 16


class DecodedFiles:
    """The last few thousand files that were decoded without complaint.

    They are looked for by their size first: of files that were never sent, hardly one has that of another, and none
    of these is read in vain.
    """

    def __init__(self) -> None:
        self._decoded: LRUCache[tuple[uuid.UUID, int], dict[str, Decoded]] = LRUCache(_KEPT)

    async def look(self, tenant_id: uuid.UUID, upload: Path) -> Decoded | None:
        """What a file is, if this tenant sent it before. None also where it cannot be read: who decodes it says so."""
        try:
            alike = self._decoded.get((tenant_id, upload.stat().st_size))
            return None if alike is None else alike.get(await to_thread.run_sync(_hash, upload))
        except OSError:
            return None

    def add(self, tenant_id: uuid.UUID, decoded: Decoded) -> None:
        """Keeps what a file is that was decoded whole; of many with one size the newest few."""
        alike = self._decoded.setdefault((tenant_id, decoded.size), {})
        alike[decoded.sha256] = decoded
        if len(alike) > _ALIKE:
            del alike[next(iter(alike))]


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
