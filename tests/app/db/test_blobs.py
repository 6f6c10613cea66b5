"""The blob store by itself: what races and crashes make of it, the tests of jobs show."""

import hashlib
import os
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from app.db.blobs import Blobs
from app.errors import StorageUnavailable


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


def test_equal_sizes_do_not_make_equal_bytes(tmp_path: Path) -> None:
    """A file of zeros, as a crash of the host may leave it, is replaced by the upload."""
    file = tmp_path / "upload"
    file.write_bytes(b"all of it")
    sha256 = hashlib.sha256(b"all of it").hexdigest()
    blobs, tenant_id = Blobs((tmp_path / "blobs").as_uri()), uuid.uuid4()
    blobs.put_file(tenant_id, file, sha256, "image/png")
    stored = tmp_path / "blobs" / str(tenant_id) / sha256[:2] / sha256
    stored.unlink()
    stored.write_bytes(bytes(9))
    blobs.put_file(tenant_id, file, sha256, "image/png")
    assert blobs.get(tenant_id, sha256) == b"all of it"


SYNCED = """
import hashlib, sys, uuid
from pathlib import Path
from app.db.blobs import Blobs

folder = Path(sys.argv[1])
(folder / "upload").write_bytes(b"pixels")
calls = []
sys.addaudithook(lambda event, given: calls.append((event, str(given[0]))) if event in ("open", "os.rename") else None)
import os
fsync = os.fsync
os.fsync = lambda descriptor: (calls.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))), fsync(descriptor))
sha256 = hashlib.sha256(b"pixels").hexdigest()
blobs = Blobs((folder / "blobs").as_uri(), durable=sys.argv[2] == "durable")
blobs.put_file(uuid.UUID(int=1), folder / "upload", sha256, "")
for event, path in calls:
    if event in ("fsync", "os.rename"):
        print(event, path.partition("/blobs")[2].replace(sha256, "HASH").partition("#")[0])
"""


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """Then every folder is that has a new entry; where durability is not wanted, nothing is waited for."""
    synced: dict[str, list[str]] = {}
    for durable in ("durable", "not"):
        folder = tmp_path / durable
        folder.mkdir()
        command = [sys.executable, "-c", SYNCED, str(folder), durable]
        synced[durable] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    tenant, place = f"/{uuid.UUID(int=1)}", hashlib.sha256(b"pixels").hexdigest()[:2]
    assert synced["durable"] == [
        f"fsync {tenant}/{place}/HASH",
        f"os.rename {tenant}/{place}/HASH",
        f"fsync {tenant}/{place}",
        f"fsync {tenant}",
        "fsync ",
    ]
    assert synced["not"] == [f"os.rename {tenant}/{place}/HASH"]


def test_what_a_killed_process_did_not_finish_is_no_blob_and_is_deleted_later(tmp_path: Path) -> None:
    """It is not listed, whatever its age; once it is old, listing deletes it."""
    blobs, tenant_id = Blobs((tmp_path / "blobs").as_uri()), uuid.uuid4()
    blob = blobs.put(tenant_id, b"pixels", "image/png")
    whole = tmp_path / "blobs" / str(tenant_id) / blob.sha256[:2] / blob.sha256
    unfinished = whole.with_name(f"{blob.sha256}#{uuid.uuid4().int}")
    unfinished.write_bytes(b"pix")
    assert next(blobs.listed(timedelta(seconds=-5))) == [(tenant_id, blob.sha256)]
    assert not unfinished.exists()
    unfinished.write_bytes(b"pix")
    assert sum(map(len, blobs.listed(timedelta(hours=1)))) == 0
    assert unfinished.exists()


def test_deleting_stops_at_the_end_of_the_claim(tmp_path: Path) -> None:
    """A process that was frozen meanwhile deletes nothing that others may have stored again since."""
    blobs = Blobs((tmp_path / "blobs").as_uri())
    blob = blobs.put(uuid.uuid4(), b"pixels", "image/png")
    with pytest.raises(StorageUnavailable):
        blobs.delete_all([(blob.tenant_id, blob.sha256)], until=time.monotonic() - 1)
    assert blobs.exists(blob.tenant_id, blob.sha256)
