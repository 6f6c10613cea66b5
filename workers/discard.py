"""What a step has stored and may not keep, because its claim was fenced off, e.g. by a cancelation."""

from collections.abc import Iterable

from app.db import blob_repository
from app.db.blobs import StoredBlob
from workers.process import Process


def discard(process: Process, stored: Iterable[StoredBlob]) -> None:
    """Deletes the bytes that no job uses. Raises StorageUnavailable; what stays is the sweep's."""
    addresses = {(blob.tenant_id, blob.sha256) for blob in stored}
    if addresses:
        with process.database.transaction() as session:
            process.blobs.delete_all(blob_repository.mark_unreferenced_deleted(session, addresses))
