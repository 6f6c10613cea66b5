"""Temporary folders for images: each lives as long as one request, one fetch or one screening.

Small files are kept in memory: creating and deleting a file in a folder took milliseconds on a busy disk. Imports
nothing of the service, because the child processes import this module.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "whodrew-intake-"
_ABANDONED_SECONDS = 3_600

_MEMORY = Path("/dev/shm")  # noqa: S108 - only this user can open the folders that are created in it
# The largest file that is kept in memory, and the space that must be free there: containers have 64 MB by default.
_SMALL = 1024 * 1024
_FREE = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a temporary folder, with its size in bytes."""

    path: Path
    size: int


@contextmanager
def spool_folder(expected: int | None = None) -> Iterator[Path]:
    """An empty folder, which is deleted at the end with its content. `expected` is the size of its files, if known."""
    folder = _parent(expected) / f"{_PREFIX}{uuid.uuid4().hex}"
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def remove_abandoned() -> None:
    """Deletes old folders of processes that were killed: no pixels are kept without a reason."""
    for parent in {Path(tempfile.gettempdir()), _MEMORY}:
        for folder in parent.glob(_PREFIX + "*"):
            try:
                age = time.time() - folder.stat().st_mtime
            except FileNotFoundError:
                continue  # deleted by its process meanwhile
            if age > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _parent(expected: int | None) -> Path:
    if expected is not None and expected <= _SMALL:
        try:
            memory = os.statvfs(_MEMORY)
            if memory.f_bavail * memory.f_frsize >= _FREE and os.access(_MEMORY, os.W_OK):
                return _MEMORY
        except OSError:  # not on Linux
            pass
    return Path(tempfile.gettempdir())


def _remove(folder: Path) -> None:
    """Every POST does this: `tempfile.TemporaryDirectory` took half a millisecond."""
    try:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
