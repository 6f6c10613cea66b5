"""Folders for images on their way in: each lives as long as one request or one fetch."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "whodrew-intake-"
_ABANDONED_AFTER = 3_600


@contextmanager
def spool_folder() -> Iterator[Path]:
    """An empty folder; it goes at the end with whatever is in it."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        yield Path(name)


def remove_abandoned() -> None:
    """A process that was killed leaves its folders behind; nothing keeps pixels without a reason."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        try:
            age = time.time() - folder.stat().st_mtime
        except FileNotFoundError:
            continue  # its owner was quicker
        if age > _ABANDONED_AFTER:
            shutil.rmtree(folder, ignore_errors=True)
