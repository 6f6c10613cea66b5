"""Folders for images on their way in: each lives as long as one request or one fetch."""

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "whodrew-intake-"
_ABANDONED_AFTER = 3_600


@contextmanager
def spool_folder() -> Iterator[Path]:
    """An empty folder; it goes at the end with whatever is in it."""
    folder = new_folder()
    try:
        yield folder
    finally:
        remove(folder)


def new_folder() -> Path:
    """An empty folder that nobody else can read."""
    folder = Path(tempfile.gettempdir(), f"{_PREFIX}{uuid.uuid4().hex}")
    folder.mkdir(0o700)
    return folder


def remove(folder: Path) -> None:
    """Removes it with the files in it; what cannot be removed now is found by `remove_abandoned`."""
    try:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """A process that was killed leaves its folders behind; nothing keeps pixels without a reason."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            age = time.time() - folder.stat().st_mtime
        except FileNotFoundError:
            continue  # its owner was quicker
        if age > _ABANDONED_AFTER:
            shutil.rmtree(folder, ignore_errors=True)
