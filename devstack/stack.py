"""The whole service on one host: which processes it is made of, and a context manager that keeps them up.

`make demo`, `make serve` and the benches stand on it. Everything it starts is named in `<state>/processes.json` with
its pid, and writes to `<state>/log/<name>.log`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from devstack.errors import DevstackError
from devstack.process import ProcessSpec, run_once
from devstack.servers import Servers, start_servers, supervised
from devstack.state import REPOSITORY, StateDirectory
from devstack.supervisor import Supervisor

# Process name → the roles it has (see workers/roles.py), besides those with models.
WORKERS: Mapping[str, tuple[str, ...]] = {"worker-light": ("light",), "worker-remote": ("remote",)}
MODEL_ROLES = ("caption", "embed", "local")
# Each process loads its own copy of the models.
MOST_MODEL_PROCESSES = 4
PREFERRED_PORT = 8000
_PROTOCOL = ("--http", "app.api.http_protocol:LimitedProtocol", "--ws", "none")
_SCOPES = ("--scopes", "submit,read,admin")
WARM_PATIENCE = 300.0  # seconds; a cold file cache has to read gigabytes of libraries


@dataclass(frozen=True, slots=True)
class Stack:
    """A running service."""

    base_url: str
    servers: Servers
    supervisor: Supervisor
    logs: Path
    environment: Mapping[str, str]

    def readiness(self) -> dict[str, Any]:
        """The document of `/readyz`; empty while the API does not answer."""
        try:
            found = httpx.get(f"{self.base_url}/readyz", timeout=2).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def create_key(self, name: str, *options: str) -> str:
        """A key of the default tenant with all scopes, made by the command line. Raises `DevstackError`."""
        command = (sys.executable, "-m", "app", "keys", "create", "--name", name, *_SCOPES, *options)
        made = subprocess.run(
            command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise DevstackError(f"no key could be made: {made.stderr.strip()}")
        return made.stdout.strip()

    def wait_until_warm(
        self, report: Callable[[dict[str, Any]], None] = lambda _: None, patience: float = WARM_PATIENCE
    ) -> None:
        """Wait until the API and a worker of every kind can take a job. Raises `StartFailed` or `DevstackError`."""
        deadline = time.monotonic() + patience
        while (readiness := self.readiness()).get("status") != "ok":
            report(readiness)
            self.supervisor.check()
            if time.monotonic() > deadline:
                raise DevstackError(
                    f"not ready after {patience:.0f} s; /readyz is {readiness or 'unavailable'}. Logs: {self.logs}"
                )
            time.sleep(0.1)


@contextmanager
def stack(
    state_dir: Path,
    *,
    workers: Mapping[str, Sequence[str]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """Start servers (unless the environment names others), migrate, start API, workers and clock; stop all on exit.

    `environment` overrides ours, for all processes. The API answers when this returns; workers may still warm up.
    """
    workers = {**WORKERS, **model_workers()} if workers is None else workers
    with StateDirectory(state_dir) as state, supervised(state) as supervisor:
        servers = start_servers(state, supervisor)
        settings = {**_settings(state, servers), "MODELS__PROCESSES": _sharing(workers), **(environment or {})}
        run_once(_python("migrate", state, settings, "-m", "alembic", "-c", "alembic/alembic.ini", "upgrade", "head"))
        port = state.port("api", PREFERRED_PORT)
        supervisor.start(
            [
                _api(state, settings, port),
                *(_python(name, state, settings, "-m", "workers", *roles) for name, roles in workers.items()),
                _python("beat", state, settings, "-m", "workers", "beat"),
            ]
        )
        yield Stack(f"http://127.0.0.1:{port}", servers, supervisor, state.log, settings)


def model_workers() -> dict[str, tuple[str, ...]]:
    """The processes with models. Each has all of their roles, so that none idles while another role has work.

    On the CPU there is one per core, which generates nearly twice as much as one process with all cores does: small
    models do not fill several. On a GPU there is one. `MODELS__PROCESSES` overrides the number.
    """
    on_cpu = os.environ.get("MODELS__DEVICE", "cpu") == "cpu"
    count = int(os.environ.get("MODELS__PROCESSES") or (min(_cores(), MOST_MODEL_PROCESSES) if on_cpu else 1))
    return {f"worker-models-{number}": MODEL_ROLES for number in range(1, count + 1)}


def _sharing(workers: Mapping[str, Sequence[str]]) -> str:
    """How many processes share the host's cores for computing."""
    return str(max(1, sum(not set(MODEL_ROLES).isdisjoint(roles) for roles in workers.values())))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _api(state: StateDirectory, settings: Mapping[str, str], port: int) -> ProcessSpec:
    address = ("--host", "127.0.0.1", "--port", str(port))
    quiet = ("--no-access-log", "--no-server-header")
    patience = ("--timeout-graceful-shutdown", "5")  # killed after our own grace
    arguments = ("-m", "uvicorn", "--factory", "app.api:create_app", *_PROTOCOL, *address, *quiet, *patience)
    return _python("api", state, settings, *arguments, ready=lambda: _listens(port))


def _python(
    name: str,
    state: StateDirectory,
    settings: Mapping[str, str],
    *arguments: str,
    ready: Callable[[], bool] = lambda: True,
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, *arguments),
        log=state.log / f"{name}.log",
        env=settings,
        cwd=REPOSITORY,  # paths in the settings' defaults are relative to it
        ready=ready,
    )


def _settings(state: StateDirectory, servers: Servers) -> dict[str, str]:
    """The environment of all our processes. The caller's settings take precedence, but for the servers' addresses."""
    return {
        "BLOBS__URL": state.blobs.as_uri(),
        "MODELS__KNOWN_ANSWERS": str(state.directory / "known-answers"),
        "HF_HUB_OFFLINE": "1",  # the small models lie in the checkout: a hub id by mistake must fail, not download
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "JOB__RELEASE_AFTER": "5",
        **os.environ,
        "METRICS__PORT": "0",  # one port cannot be every worker's; the API has its metrics at /metrics
        "DATABASE__URL": servers.database_url,
        "REDIS__URL": servers.redis_url,
    }


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True
