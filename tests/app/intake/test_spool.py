"""Where temporary folders of images are, and that they are deleted."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.intake import spool
from app.intake.spool import remove_abandoned, spool_folder, write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is used in place of memory."""
    monkeypatch.setattr(spool, "_MEMORY", tmp_path)
    return tmp_path


def test_small_files_are_kept_in_memory_and_others_on_disk(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of unknown size are on disk, and so are all files where memory is short or there is no such folder."""
    disk = Path(tempfile.gettempdir())
    for expected, place in ((1_000, memory), (50_000_000, disk), (None, disk)):
        with spool_folder(expected) as folder:
            assert folder.parent.parent == place
            assert folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(spool, "_FREE", 2**62)
    with spool_folder(1_000) as folder:
        assert folder.parent.parent == disk
    monkeypatch.setattr(spool, "_MEMORY", memory / "nowhere")
    with spool_folder(1_000) as folder:
        assert folder.parent.parent == disk


def test_folders_are_deleted_at_the_end(memory: Path) -> None:
    """With their files and folders, also after an error."""
    for deeper in (".", "deeper"):
        with contextlib.suppress(RuntimeError), spool_folder(1) as folder:
            (folder / deeper).mkdir(exist_ok=True)
            (folder / deeper / "0").write_bytes(b"pixels")
            raise RuntimeError
    (own,) = memory.iterdir()
    assert list(own.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from app.intake import spool

spool._MEMORY = Path(sys.argv[1])
with spool.spool_folder(1) as folder:
    (folder / "0").write_bytes(b"pixels")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_deleted_at_the_next_start(memory: Path) -> None:
    """At once, and not while the process lives, however long its upload takes."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        os.utime(folder.parent, (0, 0))
        with spool_folder(1) as ours:
            remove_abandoned()
            assert (folder / "0").exists()
            assert ours.exists()
        process.kill()
        process.wait()
    remove_abandoned()
    assert not folder.parent.exists()


class Nearly(io.BytesIO):
    """A file that takes three bytes at a time."""

    def write(self, data: ReadableBuffer) -> int:
        """Returns how many it took."""
        return super().write(memoryview(data)[:3])


def test_a_write_that_takes_a_part_only_is_continued() -> None:
    """As an unbuffered file does on a disk that is nearly full."""
    file = Nearly()
    write_all(file, b"ten bytes.")
    assert file.getvalue() == b"ten bytes."
