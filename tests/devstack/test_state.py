"""The state directory: whose it is, and what is remembered there."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.errors import StateInUse, StateUnusable
from devstack.state import StateDirectory, passwords


def test_two_starts_are_kept_apart(state_dir: Path) -> None:
    """The second start fails with the owner's pid and what to do; the first is not disturbed."""
    with StateDirectory(state_dir):
        second = subprocess.run(
            [sys.executable, "-m", "devstack", "run", "true"],
            env={**os.environ, "STATE_DIR": str(state_dir)},
            capture_output=True,
            text=True,
        )
    assert second.returncode == 2
    assert f"{state_dir} is in use by process {os.getpid()}" in second.stderr
    assert "STATE_DIR=" in second.stderr


def test_a_lock_is_found_in_the_same_process_too(state_dir: Path) -> None:
    """Two context managers in one program are two owners as well."""
    with StateDirectory(state_dir), pytest.raises(StateInUse), StateDirectory(state_dir):
        pass


def test_ports_are_remembered(state_dir: Path) -> None:
    """A name keeps its port over restarts, and two names never share one."""
    with StateDirectory(state_dir) as state:
        first = [state.port(name) for name in ("postgres", "valkey", "api")]
    with StateDirectory(state_dir) as state:
        assert [state.port(name) for name in ("postgres", "valkey", "api")] == first
    assert len(set(first)) == 3


def test_a_port_that_was_taken_is_chosen_again(state: StateDirectory) -> None:
    """Another server on our port is not an error."""
    port = state.port("api")
    with socket.create_server(("127.0.0.1", port)):
        other = state.port("api")
    assert other != port
    assert state.port("api") == other


def test_a_preferred_port_is_optional(state: StateDirectory) -> None:
    """The preferred port is used when it is free, and another one otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert state.port("api", preferred=port) != port
    assert state.port("other", preferred=port) == port


def test_passwords_are_for_the_owner_alone(state_dir: Path) -> None:
    """They are made once, differ, and only the owner can read them."""
    state_dir.mkdir()
    made = passwords(state_dir)
    assert passwords(state_dir) == made
    assert len(set(made.values())) == 2
    assert stat.S_IMODE((state_dir / "passwords.json").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_another_account_is_explained(state_dir: Path) -> None:
    """After a `sudo make demo` an ordinary user reads what is wrong, not a traceback."""
    state_dir.mkdir(mode=0o555)
    with pytest.raises(StateUnusable, match="STATE_DIR"), StateDirectory(state_dir):
        pass
