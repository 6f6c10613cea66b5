"""Directories to start servers in."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.servers import supervised
from devstack.state import StateDirectory, remove
from devstack.supervisor import Supervisor


@pytest.fixture
def state_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory to be, with spaces in its path, where any account may pass; no servers named from outside."""
    for name in ("DATABASE__URL", "REDIS__URL"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="whodrew ") as name:
        Path(name).chmod(0o755)
        directory = Path(name, "a state")
        yield directory
        remove(directory)


@pytest.fixture
def state(state_dir: Path) -> Iterator[StateDirectory]:
    """A state directory that is ours."""
    with StateDirectory(state_dir) as state:
        yield state


@pytest.fixture
def supervisor(state: StateDirectory) -> Iterator[Supervisor]:
    """A supervisor with nothing to do yet."""
    with supervised(state) as supervisor:
        yield supervisor


@pytest.fixture
def register(state_dir: Path) -> Callable[[], dict[str, dict[str, int]]]:
    """What the supervisor says about its processes, read as an outsider would."""
    return lambda: json.loads((state_dir / "processes.json").read_text())
