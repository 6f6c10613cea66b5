"""The service's real processes, started and stopped one by one as an operator's rolling restart does."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import httpx

from app.settings import Settings
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]


def environment_of(settings: Settings) -> dict[str, str]:
    """What makes a process of its own have a test's settings, with fake models and no keys."""
    return os.environ | {
        "DATABASE__URL": settings.database.url.get_secret_value(),
        "REDIS__URL": settings.redis.url.get_secret_value(),
        "BLOBS__URL": settings.blobs.url,
        "CATALOG__DIRECTORIES": f'["{settings.catalog.directories[0]}"]',
        "MODELS__CAPTIONER": "fake:",
        "MODELS__EMBEDDER": "fake:",
        "MODELS__CALIBRATIONS": "[]",
        "ACCESS__ANONYMOUS": "true",
    }


class Processes:
    """Starts processes, and kills what is left of them when the stack ends."""

    def __init__(self, stack: ExitStack, environment: Mapping[str, str], logs: Path) -> None:
        self._stack = stack
        self._environment = dict(environment)
        self._logs = logs

    def worker(self, *roles: str, **changes: str) -> subprocess.Popen[bytes]:
        """A worker process; it may still be warming up."""
        return self._start("-".join(roles), ["workers", *roles], changes)

    def api(self) -> tuple[str, subprocess.Popen[bytes]]:
        """An API that answers, and its address."""
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["uvicorn", "--factory", "app.api:create_app", "--port", str(port)]
        command += ["--http", "app.api.http_protocol:LimitedProtocol"]
        process = self._start("api", [*command, "--timeout-graceful-shutdown", "20"], {})
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url))
        return url, process

    def _start(self, name: str, module: list[str], changes: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._logs / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=REPOSITORY,
            env={**self._environment, **changes},
            stdout=log,
            stderr=log,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


def stop(process: subprocess.Popen[bytes], seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """SIGTERM, after which the process must end by itself in time; uvicorn ends by the signal, having cleaned up."""
    process.send_signal(signal.SIGTERM)
    meanwhile()
    assert process.wait(seconds) in (0, -signal.SIGTERM)


def answers(url: str) -> bool:
    """Whether an API accepts connections and is alive."""
    try:
        return httpx.get(f"{url}/livez").status_code == 200
    except httpx.TransportError:
        return False
