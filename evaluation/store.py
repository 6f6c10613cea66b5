"""A store of everything expensive, under a hash of its inputs: what is stored is never computed again.

A file appears whole or not at all, so that a process may be killed at any instruction and another may do the same work
at the same time.
"""

import json
import os
import shutil
from hashlib import file_digest, sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "evaluation" / ".work"
STORE = WORK / "store"
MODELS = ROOT / "zoo" / "models"


def key_of(*inputs: object) -> str:
    """32 hex digits that identify inputs, which are JSON values."""
    return sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]


def digest(path: Path) -> str:
    """The hash of a file's content."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename: without the flush, a power cut could leave an empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def link(source: Path, target: Path) -> None:
    """The same content under another name, as a hard link where the file system can, else as a copy."""
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(target)
    beside.unlink(missing_ok=True)
    try:
        beside.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, beside)
    beside.replace(target)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


class Store:
    """A directory of results by key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, key: str, suffix: str) -> Path:
        """The path of a result, stored or not."""
        return self.directory / key[:2] / f"{key}{suffix}"

    def has(self, key: str, suffix: str) -> bool:
        """Whether the result is stored."""
        return self.path(key, suffix).exists()

    def put(self, key: str, suffix: str, content: bytes) -> None:
        """Store a result."""
        write(self.path(key, suffix), content)
