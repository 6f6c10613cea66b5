"""The blob store by itself: what races and crashes make of it, the tests of jobs show."""

import hashlib
import uuid
from pathlib import Path

from app.store.blobs import Blobs


def test_a_file_that_is_put_twice_is_there_once(tmp_path: Path) -> None:
    """Putting again what is there already leaves one file, under the one name by which it is deleted."""
    file = tmp_path / "upload"
    file.write_bytes(b"pixels")
    sha256 = hashlib.sha256(b"pixels").hexdigest()
    blobs = Blobs((tmp_path / "blobs").as_uri())
    tenant_id = uuid.uuid4()
    blobs.put_all([blobs.put_file(tenant_id, file, sha256, "image/png")])
    assert [each.name for each in (tmp_path / "blobs").rglob("*") if each.is_file()] == [sha256]
    assert blobs.get(tenant_id, sha256) == b"pixels"
