"""Postgres: made once, then described for the supervisor. Full durability (fsync on), TCP on the loopback only, password always."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from embedded.account import Account, give
from embedded.binaries import Binaries
from embedded.errors import StartFailed
from embedded.process import BASE_ENV, LEASH, Spec

USER = DATABASE = "whodrew"
# A bad LC_ALL of the caller must not matter, neither for initdb nor for the server.
ENV = {**BASE_ENV, "LC_ALL": "C", "TZ": "UTC"}
ORPHAN_PATIENCE = 15.0


def spec(binaries: Binaries, data: Path, port: int, account: Account | None, log: Path) -> Spec:
    """How to run the server on this data directory, which `create` has made."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Spec(
        name="postgres",
        argv=(str(binaries.postgres), "-D", str(data), *flags),
        log=log,
        env=ENV,
        account=account,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, then shuts down in order
        grace=15.0,
        prepare=lambda: clear_stale_pid(data),
        ready=lambda: is_ready(data),
    )


def url(password: str, port: int, database: str = DATABASE) -> str:
    """The connection URL for SQLAlchemy and psycopg."""
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{database}"


def create(binaries: Binaries, data: Path, password: str, account: Account | None, log: Path) -> None:
    """Make the cluster unless it exists. It appears under its name only when complete, so that a kill in between leaves nothing half."""
    if data.exists():
        return
    workshop = data.with_name(data.name + ".new")
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir(mode=0o700)
    give(workshop, account)
    password_file = workshop / "password"
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(password)
    give(password_file, account)
    cluster = workshop / "data"
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    options = ("-U", USER, "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", *locale)
    _run((str(binaries.initdb), "-D", str(cluster), *options), account, log)
    single_user = (str(binaries.postgres), "--single", "-D", str(cluster), "postgres")
    _run(single_user, account, log, stdin=f"CREATE DATABASE {DATABASE};\n")
    cluster.rename(data)
    shutil.rmtree(workshop)


def is_ready(data: Path) -> bool:
    """Whether the server takes connections: it says so itself, in the eighth line of its pid file (as pg_ctl reads it)."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False


def clear_stale_pid(data: Path) -> None:
    """Before a start: wait for an orphan of ours on this data to go, and drop a pid file that speaks of nobody or of somebody else."""
    file = data / "postmaster.pid"
    deadline = time.monotonic() + ORPHAN_PATIENCE
    while (pid := first_number(file)) is not None and works_in(pid, data):
        os.kill(pid, signal.SIGINT if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.2)
    file.unlink(missing_ok=True)


def first_number(file: Path) -> int | None:
    """The pid in the first line of a pid file, None when there is none."""
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def works_in(pid: int, directory: Path) -> bool:
    """Whether that process is a server on this directory: both servers make their data directory the current one."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")) == directory.resolve()
    except OSError:
        return False


def _run(argv: tuple[str, ...], account: Account | None, log: Path, stdin: str = "") -> None:
    numbers = [str(number) for number in (os.getpid(), int(signal.SIGTERM), *((account.uid, account.gid) if account else (-1, -1)))]
    command = [sys.executable, "-I", "-S", str(LEASH), *numbers, *argv]
    with log.open("ab") as out:
        done = subprocess.run(command, env=ENV, cwd="/", input=stdin.encode(), stdout=out, stderr=out, check=False)
    if done.returncode:
        raise StartFailed(Path(argv[0]).name, f"it ended with code {done.returncode}", log)
