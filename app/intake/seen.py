"""What files turned out to be that were decoded a while ago, by tenant: the same bytes need not be decoded again.

Of another tenant's files nothing is known here: how quickly an upload is taken must not tell who else has the file.
"""

import hashlib
import uuid
from pathlib import Path

from cachetools import LRUCache

from app.intake.decode import Decoded

# Half a kilobyte each.
_KEPT = 4_096
# A larger file is read by who decodes it, and by nobody before.
_SMALL = 4 * 1024 * 1024


def hash_of_small(upload: Path) -> str | None:
    """The SHA-256 of a file that is worth hashing before it is decoded; None of a larger one.

    None also where it cannot be read: who decodes it says so.
    """
    try:
        if upload.stat().st_size > _SMALL:
            return None
        with upload.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class Seen:
    """The last few thousand files that were decoded without complaint."""

    def __init__(self) -> None:
        self._decoded: LRUCache[tuple[uuid.UUID, str], Decoded] = LRUCache(_KEPT)

    def get(self, tenant_id: uuid.UUID, sha256: str | None) -> Decoded | None:
        """What it is, if this tenant sent it before."""
        return None if sha256 is None else self._decoded.get((tenant_id, sha256))

    def add(self, tenant_id: uuid.UUID, decoded: Decoded) -> None:
        """Keeps what a file is that was decoded whole."""
        self._decoded[tenant_id, decoded.sha256] = decoded
