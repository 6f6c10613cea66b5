"""The blob store by itself: what races and crashes make of it, the tests of jobs show."""

import hashlib
import os
import uuid
from pathlib import Path

from app.db.blobs import Blobs


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


def test_a_file_that_a_crash_cut_off_is_replaced(tmp_path: Path) -> None:
    """The name is the hash of the whole content; what is whole is only touched, and is no stray then."""
    file = tmp_path / "upload"
    file.write_bytes(b"all of it")
    sha256 = hashlib.sha256(b"all of it").hexdigest()
    blobs, tenant_id = Blobs((tmp_path / "blobs").as_uri()), uuid.uuid4()
    stored = tmp_path / "blobs" / str(tenant_id) / sha256[:2] / sha256
    blobs.put_file(tenant_id, file, sha256, "image/png")
    stored.unlink()
    stored.write_bytes(b"all")
    blobs.put_file(tenant_id, file, sha256, "image/png")
    assert blobs.get(tenant_id, sha256) == b"all of it"
    os.utime(stored, (0, 0))
    blobs.put_file(tenant_id, file, sha256, "image/png")
    assert stored.stat().st_mtime > 0
