"""The facts of a decoded file are found again, by the tenant that sent the file."""

import hashlib
import uuid
from pathlib import Path

import anyio

from app.cache.decoded import DecodedFiles
from app.intake.decoding import Decoded

OURS, THEIRS = uuid.uuid4(), uuid.uuid4()


def decoded(content: bytes) -> Decoded:
    """What a decoder reports about a file with these bytes."""
    return Decoded("PNG", 2, 3, 1, hashlib.sha256(content).hexdigest(), len(content))


def insert(cache: DecodedFiles[Decoded], content: bytes) -> None:
    """Remembers a file of our tenant."""
    facts = decoded(content)
    cache.insert(OURS, facts.sha256, facts.size, facts)


def get(cache: DecodedFiles[Decoded], tenant_id: uuid.UUID, upload: Path) -> Decoded | None:
    """Looks the file up in an event loop."""
    return anyio.run(cache.get, tenant_id, upload)


def test_a_file_is_known_to_its_tenant_alone(tmp_path: Path):
    """The same bytes of another tenant are decoded again, so that the time does not reveal who else has the file."""
    cache, upload = DecodedFiles[Decoded](), tmp_path / "upload"
    upload.write_bytes(b"bytes")
    assert get(cache, OURS, upload) is None
    insert(cache, b"bytes")
    assert get(cache, OURS, upload) == decoded(b"bytes")
    assert get(cache, THEIRS, upload) is None


def test_files_of_one_size_are_distinguished_by_their_hash(tmp_path: Path):
    """An unknown file is not found under the size of a known one; neither is a file that does not exist."""
    cache, upload = DecodedFiles[Decoded](), tmp_path / "upload"
    for content in (b"first", b"other"):
        insert(cache, content)
    upload.write_bytes(b"third")
    assert get(cache, OURS, upload) is None
    upload.write_bytes(b"first")
    assert get(cache, OURS, upload) == decoded(b"first")
    upload.unlink()
    assert get(cache, OURS, upload) is None


def test_of_many_files_of_one_size_the_newest_are_kept(tmp_path: Path):
    """Files of one size cannot fill the memory."""
    cache, upload = DecodedFiles[Decoded](), tmp_path / "upload"
    for number in range(40):
        insert(cache, b"%03d" % number)
    upload.write_bytes(b"000")
    assert get(cache, OURS, upload) is None
    upload.write_bytes(b"039")
    assert get(cache, OURS, upload) == decoded(b"039")
