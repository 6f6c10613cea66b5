"""One supervised process: how it is started, watched, started again and stopped; `supervisor` has the loop.

All starts must come from one thread that lives as long as the process should: the kernel's parent-death signal
follows the *thread*.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from devstack.account import Account
from devstack.errors import StartFailed
from devstack.reaper import Reaper


@dataclass(slots=True)
class Backoff:
    """Exponential pauses in seconds, reset once a process has lived for `calm` seconds."""

    first: float = 0.1
    factor: float = 2.0
    ceiling: float = 30.0
    calm: float = 10.0
    failures: int = 0

    def after(self, lived: float) -> float:
        """The pause before the next start of a process that lived this long."""
        if lived >= self.calm:
            self.failures = 0
        pause = min(self.first * self.factor**self.failures, self.ceiling)
        self.failures = min(self.failures + 1, 32)  # 2**32 is beyond any ceiling
        return pause


LAUNCHER = Path(__file__).with_name("launcher.py").resolve()
# Nothing else of the caller's environment reaches the servers. Some Pythons (the launcher's, too) need the second.
BASE_ENV = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
MAX_LOG_BYTES = 50_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run. `prepare` runs before every start, `ready` is polled until it is true; both must be quick."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path = Path("/")
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 8.0
    prepare: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True


def launched(argv: Sequence[str], account: Account | None, death: signal.Signals) -> list[str]:
    """The command through the launcher: runs as the account, and is sent the signal when our thread ends."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    numbers = [str(number) for number in (os.getpid(), int(death), uid, gid)]
    return [sys.executable, "-I", "-S", str(LAUNCHER), *numbers, *argv]


def run_once(spec: ProcessSpec, stdin: str = "") -> None:
    """Run something that ends by itself, and wait for it. Raises `StartFailed` when it fails."""
    command = launched(spec.argv, spec.account, spec.stop_signal)
    with spec.log.open("ab") as log:
        done = subprocess.run(
            command, env=dict(spec.env), cwd=spec.cwd, input=stdin.encode(), stdout=log, stderr=log, check=False
        )
    if done.returncode:
        raise StartFailed(spec.name, f"it ended with code {done.returncode}", spec.log)


class SupervisedProcess:
    """A spec and its present process. Not thread-safe: the supervisor's loop owns it."""

    def __init__(self, spec: ProcessSpec, reaper: Reaper, backoff: Backoff) -> None:
        self.spec = spec
        self.starts = 0
        self.ready = False
        self.last_end = "it was never started"
        self._reaper = reaper
        self._backoff = backoff
        self._popen: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._next_start = 0.0
        self._next_log_check = 0.0
        self._kill_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self._popen.pid if self._popen else None

    def tick(self, now: float) -> None:
        """Do what is due: start it, notice its end, check whether it is ready."""
        if self._popen is None:
            if now >= self._next_start:
                self._start(now)
        elif not self.reap():
            if not self.ready:
                self.ready = self.spec.ready()
            if now >= self._next_log_check:
                self._next_log_check = now + 30
                cut(self.spec.log)
        else:
            pause = self._backoff.after(now - self._started)
            self._next_start = now + pause
            logger.warning("%s %s; next start in %.1f s (log: %s)", self.spec.name, self.last_end, pause, self.spec.log)

    def _start(self, now: float) -> None:
        self.starts += 1
        self._started = now
        try:
            self.spec.prepare()
            with self.spec.log.open("ab") as log:
                self._popen = subprocess.Popen(
                    launched(self.spec.argv, self.spec.account, self.spec.stop_signal),
                    env=dict(self.spec.env),
                    cwd=self.spec.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )
        except OSError as error:
            self.last_end = f"could not be started: {error}"
            self._next_start = now + self._backoff.after(0)
            logger.warning("%s %s", self.spec.name, self.last_end)
            return
        self._reaper.register(self._popen.pid, self.spec.stop_signal, self.spec.grace)

    def reap(self) -> bool:
        """Whether it has ended; if so, the rest of its group is killed before the pid is free again."""
        popen = self._popen
        if popen is None:
            return True
        if os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        signal_group(popen.pid, signal.SIGKILL)
        code = popen.wait()
        self._reaper.unregister(popen.pid)
        self.last_end = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._popen, self.ready = None, False
        return True

    def request_stop(self) -> None:
        """Send the stop signal and start counting the grace."""
        if self._popen is not None and not self.reap():
            self._kill_at = time.monotonic() + self.spec.grace
            os.kill(self._popen.pid, self.spec.stop_signal)

    def stopped(self, now: float) -> bool:
        """Whether it has ended; kills it when the grace is over."""
        if self.reap():
            return True
        if self._popen is not None and self._kill_at is not None and now > self._kill_at:
            signal_group(self._popen.pid, signal.SIGKILL)
        return False


def signal_group(group: int, number: int) -> None:
    """Signal a process group, which may be gone or hold only zombies."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def cut(log: Path) -> None:
    """Keep a log below its limit: a full one is copied to `.1` and emptied; the process goes on appending."""
    try:
        if log.stat().st_size > MAX_LOG_BYTES:
            log.with_name(log.name + ".1").write_bytes(log.read_bytes())
            os.truncate(log, 0)
    except OSError as error:
        logger.warning("cannot cut %s: %s", log, error)
