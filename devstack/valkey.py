"""Valkey: described for the supervisor. Append-only file synced every second, loopback only, password always."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from devstack.account import Account, change_owner
from devstack.binaries import Binaries
from devstack.postgres import ENV, first_number, works_in
from devstack.process import ProcessSpec

STALE_SERVER_PATIENCE = 10.0


def spec(binaries: Binaries, data: Path, port: int, password: str, account: Account | None, log: Path) -> ProcessSpec:
    """How to run the server on this data directory.

    Its settings go through a file, so that the password does not show in a list of processes.
    """
    if not data.exists():
        data.mkdir(mode=0o700)
        change_owner(data, account)
    configuration = data / "valkey.conf"
    configuration.unlink(missing_ok=True)
    with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(_configuration(data, port, password))
    change_owner(configuration, account)
    return ProcessSpec(
        name="valkey",
        argv=(str(binaries.valkey), str(configuration)),
        log=log,
        env=ENV,
        account=account,
        prepare=lambda: _stop_stale_server(data),
        ready=lambda: is_ready(port, password),
    )


def url(password: str, port: int) -> str:
    """The connection URL for redis-py and Celery."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def is_ready(port: int, password: str) -> bool:
    """Whether the server answers PING; while it loads its file the answer is LOADING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"
    except OSError:
        return False


def _configuration(data: Path, port: int, password: str) -> str:
    def quoted(path: Path) -> str:
        return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'

    lines = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {quoted(data)}",
        f"pidfile {quoted(data / 'valkey.pid')}",
        f"requirepass {password}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
    )
    return "\n".join(lines) + "\n"


def _stop_stale_server(data: Path) -> None:
    """Two servers must never write the same file: end one that an earlier owner left."""
    deadline = time.monotonic() + STALE_SERVER_PATIENCE
    while (pid := first_number(data / "valkey.pid")) is not None and works_in(pid, data):
        os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.1)
