"""Postgres: made once, then described for the supervisor. fsync on, loopback only, password always."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from devstack.account import Account, change_owner
from devstack.binaries import Binaries
from devstack.process import BASE_ENV, ProcessSpec, run_once

USER = DATABASE = "whodrew"
# A bad LC_ALL of the caller must not matter, neither for initdb nor for the server.
ENV = {**BASE_ENV, "LC_ALL": "C", "TZ": "UTC"}
STALE_SERVER_PATIENCE = 15.0


def spec(binaries: Binaries, data: Path, port: int, account: Account | None, log: Path) -> ProcessSpec:
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
    return ProcessSpec(
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
    """Make the cluster unless it exists; it gets its name when complete, so a kill leaves nothing half done."""
    if data.exists():
        return
    scratch = data.with_name(data.name + ".new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    change_owner(scratch, account)
    password_file = scratch / "password"
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(password)
    change_owner(password_file, account)
    cluster = scratch / "data"
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    options = ("-U", USER, "-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", *locale)
    _run((str(binaries.initdb), "-D", str(cluster), *options), account, log)
    single_user = (str(binaries.postgres), "--single", "-D", str(cluster), "postgres")
    _run(single_user, account, log, stdin=f"CREATE DATABASE {DATABASE};\n")
    cluster.rename(data)
    shutil.rmtree(scratch)


def is_ready(data: Path) -> bool:
    """Whether it accepts connections: the eighth line of its pid file, which pg_ctl reads too."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (OSError, IndexError):
        return False


def clear_stale_pid(data: Path) -> None:
    """Before a start: end a server that still runs on this data, and remove a stale pid file."""
    file = data / "postmaster.pid"
    deadline = time.monotonic() + STALE_SERVER_PATIENCE
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
    """Whether that process is a server on this directory: both servers change into their data directory."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False


def _run(argv: tuple[str, ...], account: Account | None, log: Path, stdin: str = "") -> None:
    run_once(ProcessSpec(name=Path(argv[0]).name, argv=argv, log=log, env=ENV, account=account), stdin)
