"""Where temporary folders of images are, and that they are deleted."""

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from app.intake import spool
from app.intake.spool import remove_abandoned, spool_folder


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
            assert folder.parent == place
            assert folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(spool, "_FREE", 2**62)
    with spool_folder(1_000) as folder:
        assert folder.parent == disk
    monkeypatch.setattr(spool, "_MEMORY", memory / "nowhere")
    with spool_folder(1_000) as folder:
        assert folder.parent == disk


def test_folders_are_deleted_at_the_end(memory: Path) -> None:
    """With their files and folders, also after an error."""
    for deeper in (".", "deeper"):
        with contextlib.suppress(RuntimeError), spool_folder(1) as folder:
            (folder / deeper).mkdir(exist_ok=True)
            (folder / deeper / "0").write_bytes(b"pixels")
            raise RuntimeError
    assert list(memory.iterdir()) == []


def test_old_folders_of_killed_processes_are_deleted(memory: Path) -> None:
    """Also those in memory; young ones may be in use."""
    old, young = memory / "whodrew-intake-old", memory / "whodrew-intake-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "0").write_bytes(b"pixels")
    os.utime(old, (0, 0))
    remove_abandoned()
    assert list(memory.iterdir()) == [young]
