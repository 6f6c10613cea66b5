"""Files that were decoded before are recognized, within their tenant."""

import hashlib
import uuid
from pathlib import Path

import anyio

from app.cache.decoded import DecodedFiles
from app.intake.decoding import Decoded

OURS, THEIRS = uuid.uuid4(), uuid.uuid4()


def decoded(content: bytes) -> Decoded:
    """What a child says of a file with these bytes."""
    return Decoded("PNG", 2, 3, 1, hashlib.sha256(content).hexdigest(), len(content))


def look(seen: DecodedFiles, tenant_id: uuid.UUID, upload: Path) -> Decoded | None:
    """Looks in an event loop."""
    return anyio.run(seen.look, tenant_id, upload)


def test_a_file_is_known_to_its_tenant_alone(tmp_path: Path):
    """Another tenant that sends the same bytes has them decoded, and learns nothing from how long it takes."""
    seen, upload = DecodedFiles(), tmp_path / "upload"
    upload.write_bytes(b"bytes")
    assert look(seen, OURS, upload) is None
    seen.add(OURS, decoded(b"bytes"))
    assert look(seen, OURS, upload) == decoded(b"bytes")
    assert look(seen, THEIRS, upload) is None


def test_a_file_is_more_than_its_size(tmp_path: Path):
    """Files of one size are distinguished by their hash; a file that was deleted is not known."""
    seen, upload = DecodedFiles(), tmp_path / "upload"
    for content in (b"first", b"other"):
        seen.add(OURS, decoded(content))
    upload.write_bytes(b"third")
    assert look(seen, OURS, upload) is None
    upload.write_bytes(b"first")
    assert look(seen, OURS, upload) == decoded(b"first")
    upload.unlink()
    assert look(seen, OURS, upload) is None


def test_of_many_files_of_one_size_the_newest_are_kept(tmp_path: Path):
    """Memory does not fill up with files of one size."""
    seen, upload = DecodedFiles(), tmp_path / "upload"
    for number in range(40):
        seen.add(OURS, decoded(b"%03d" % number))
    upload.write_bytes(b"000")
    assert look(seen, OURS, upload) is None
    upload.write_bytes(b"039")
    assert look(seen, OURS, upload) == decoded(b"039")
