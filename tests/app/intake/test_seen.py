"""What was decoded before is known again, to the tenant whose it is."""

import hashlib
import uuid
from pathlib import Path

from app.intake.decode import Decoded
from app.intake.seen import Seen, hash_of_small

OURS, THEIRS = uuid.uuid4(), uuid.uuid4()
DECODED = Decoded("PNG", 2, 3, 1, "ab" * 32, 70)


def test_a_file_is_known_to_its_tenant_alone() -> None:
    """Another tenant that sends the same bytes has them decoded, and learns nothing from how long it takes."""
    seen = Seen()
    seen.add(OURS, DECODED)
    assert seen.get(OURS, DECODED.sha256) == DECODED
    assert seen.get(THEIRS, DECODED.sha256) is None
    assert seen.get(OURS, "cd" * 32) is None
    assert seen.get(OURS, None) is None


def test_only_a_small_file_is_hashed_beforehand(tmp_path: Path) -> None:
    """A large one is read once, by the child that decodes it; one that cannot be read is left to it, too."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"bytes")
    large.write_bytes(bytes(4 * 1024 * 1024 + 1))
    assert hash_of_small(small) == hashlib.sha256(b"bytes").hexdigest()
    assert hash_of_small(large) is None
    assert hash_of_small(tmp_path / "none") is None
