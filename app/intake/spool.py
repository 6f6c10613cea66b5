"""Folders for images on their way in: each lives as long as one request, one fetch or one screening.

Small ones lie in memory: making and removing a file in a folder took a busy disk milliseconds.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "whodrew-intake-"
_ABANDONED_AFTER = 3_600

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folders in it are nobody else's
# What may lie in memory, and what has to be free there: containers are given 64 MB unless they ask for more.
_SMALL = 1024 * 1024
_SPARE = 32 * 1024 * 1024


@contextmanager
def spool_folder(expected: int | None = None) -> Iterator[Path]:
    """An empty folder, for a file of so many bytes, if that is known; it goes at the end with whatever is in it."""
    folder = _place(expected) / f"{_PREFIX}{uuid.uuid4().hex}"
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def _place(expected: int | None) -> Path:
    if expected is not None and expected <= _SMALL:
        try:
            memory = os.statvfs(_MEMORY)
            if memory.f_bavail * memory.f_frsize >= _SPARE and os.access(_MEMORY, os.W_OK):
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


def remove_abandoned() -> None:
    """A process that was killed leaves its folders behind; nothing keeps pixels without a reason."""
    for place in {Path(tempfile.gettempdir()), _MEMORY}:
        for folder in place.glob(_PREFIX + "*"):
            try:
                age = time.time() - folder.stat().st_mtime
            except FileNotFoundError:
                continue  # its owner was quicker
            if age > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
