"""Postgres and Valkey as a context manager: used by the tests and by the stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack import binaries, postgres, valkey
from devstack.account import server_account
from devstack.process import ProcessSpec
from devstack.state import StateDirectory, passwords
from devstack.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses of the two servers, and their supervisor."""

    database_url: str
    redis_url: str
    supervisor: Supervisor


@contextmanager
def servers(state_dir: Path) -> Iterator[Servers]:
    """Real servers on a state directory, restarted when they die, stopped on exit; their data stays there.

    Raises `StateInUse` when another process holds the directory, and `StateUnusable`, `BinariesMissing` or
    `StartFailed` when they cannot run.
    """
    with StateDirectory(state_dir) as state, supervised(state) as supervisor:
        yield start_servers(state, supervisor)


@contextmanager
def supervised(state: StateDirectory) -> Iterator[Supervisor]:
    """A supervisor on a locked state directory; everything it started is stopped on exit."""
    supervisor = Supervisor(state.lock_fd, state.directory / "processes.json")
    try:
        yield supervisor
    finally:
        supervisor.stop()


def start_servers(state: StateDirectory, supervisor: Supervisor) -> Servers:
    """Start those of the two servers that the environment does not name; return the addresses of both."""
    database_url, redis_url = os.environ.get("DATABASE__URL"), os.environ.get("REDIS__URL")
    wanted: list[ProcessSpec] = []
    if not (database_url and redis_url):
        ours = state.directory / "servers" / "postgres"
        account = server_account(ours)
        home = state.servers_home(account)
        programs = binaries.find(home, account)
        secrets = passwords(home)
        if not database_url:
            data, log, port = home / "postgres", state.log / "postgres.log", state.port("postgres")
            postgres.create(programs, data, secrets["postgres"], account, log)
            wanted.append(postgres.spec(programs, data, port, account, log))
            database_url = postgres.url(secrets["postgres"], port)
        if not redis_url:
            data, log, port = home / "valkey", state.log / "valkey.log", state.port("valkey")
            wanted.append(valkey.spec(programs, data, port, secrets["valkey"], account, log))
            redis_url = valkey.url(secrets["valkey"], port)
    supervisor.start(wanted)
    return Servers(database_url, redis_url, supervisor)
