"""Temporary folders for images: each lives as long as one request, one fetch or one screening.

Small files are kept in memory: creating and deleting a file in a folder took milliseconds on a busy disk. A process
has a folder of its own for them, which it locks while it lives: what a killed one left is deleted by the next to start.
Imports nothing of the service, because the child processes import this module.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

_PREFIX = "whodrew-intake-"

_MEMORY = Path("/dev/shm")  # noqa: S108 - only this user can open the folders that are created in it
# The largest file that is kept in memory, and the space that must be free there: containers have 64 MB by default.
_SMALL = 1024 * 1024
_FREE = 32 * 1024 * 1024

# This process's folders by their parents, and the process: a fork has its own.
_own: dict[tuple[int, Path], Path] = {}
_making = Lock()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a temporary folder, with its size in bytes."""

    path: Path
    size: int


@contextmanager
def spool_folder(expected: int | None = None) -> Iterator[Path]:
    """An empty folder, which is deleted at the end with its content. `expected` is the size of its files, if known.

    Raises OSError where the disk is full.
    """
    folder = _own_folder(_parent(expected)) / uuid.uuid4().hex
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        _remove(folder)


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Writes to an unbuffered file, which may take a part only: on a disk that is nearly full, it does.

    Raises OSError.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def remove_abandoned() -> None:
    """Deletes the folders of processes that were killed: no pixels are kept without a reason."""
    for parent in {Path(tempfile.gettempdir()), _MEMORY}:
        for folder in parent.glob(_PREFIX + "*"):
            descriptor = _lock(folder)
            if descriptor is not None:  # its process is gone
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def _own_folder(parent: Path) -> Path:
    found = _own.get((os.getpid(), parent))
    if found is not None and found.exists():
        return found
    with _making:
        while True:
            folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
            folder.mkdir(0o700)
            # Held until the process ends. `remove_abandoned` may have come in between and deleted the folder.
            if _lock(folder) is not None and folder.exists():
                _own[os.getpid(), parent] = folder
                return folder


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where another process holds it, or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


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


@atexit.register
def _remove_own() -> None:
    for (process, _), folder in _own.items():
        if process == os.getpid():
            _remove(folder)
