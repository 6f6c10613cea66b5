"""The state directory: one owner at a time, the chosen ports, and where the servers keep their data.

<state>/  lock  ports.json  processes.json  log/  blobs/
          servers/   unless the account that the servers run as cannot get there
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import random
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from devstack.account import Account
from devstack.errors import StateInUse, StateUnusable

# Below the range from which the kernel takes ports for outgoing connections, so that a server that restarts
# finds its port free.
PORTS = range(20_000, 32_000)
REPOSITORY = Path(__file__).resolve().parent.parent
# Where root keeps the servers' data when the checkout lies under a directory that only root may enter.
FALLBACKS = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - who owns it is checked
OURS = ("servers", "log", "blobs", "known-answers", "ports.json", "processes.json", "lock")
REAPER_PATIENCE = 20.0

logger = logging.getLogger(__name__)


def default_directory() -> Path:
    """`STATE_DIR`, or `.state` in the checkout."""
    return Path(os.environ.get("STATE_DIR") or REPOSITORY / ".state").absolute()


class StateDirectory:
    """A locked state directory, as a context manager. The reaper shares the lock and may hold it longer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "log"
        self.blobs = self.directory / "blobs"
        self.lock_fd = -1

    def __enter__(self) -> StateDirectory:
        try:
            make_directory(self.directory)
            self.lock_fd = _lock(self.directory)
            for directory in (self.log, self.blobs):
                make_directory(directory)
            for log in self.log.glob("*.log"):
                log.replace(log.with_name(log.name + ".old"))
        except PermissionError as error:
            raise StateUnusable(
                f"{self.directory} cannot be used by this account ({error}). Another one may have made it, "
                "root for example: remove it, or choose another directory with STATE_DIR=/some/where."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def port(self, name: str, preferred: int | None = None) -> int:
        """The port remembered for this name; chosen now when there is none or another program uses it."""
        file = self.directory / "ports.json"
        ports = json.loads(file.read_text()) if file.exists() else {}
        others = {port for key, port in ports.items() if key != name}
        first = [port for port in (ports.get(name), preferred) if port]
        for port in [*first, *random.sample(PORTS, 200)]:
            if port not in others and is_free(port):
                if ports.get(name) != port:
                    _write(file, json.dumps({**ports, name: port}))
                return int(port)
        raise StateUnusable("no free port found on 127.0.0.1")

    def servers_home(self, account: Account | None) -> Path:
        """The directory for the servers' data: in the state directory when their account can get there."""
        home = self.directory / "servers"
        make_directory(home, 0o711)
        if account is None or account.can_enter(home):
            return home
        for candidate in fallbacks(self.directory):
            try:
                make_directory(candidate, 0o711)
            except OSError:
                continue
            mine = not candidate.is_symlink() and candidate.stat().st_uid == os.geteuid()
            if mine and account.can_enter(candidate):
                logger.warning("%s cannot enter %s: the servers keep their data in %s", account.name, home, candidate)
                return candidate
        raise StateUnusable(
            f"{account.name} cannot enter {home}: set STATE_DIR to a directory that every account may pass"
        )


def fallbacks(directory: Path) -> list[Path]:
    """Where root may keep the servers' data instead; the same places for the same state directory."""
    name = "whodrew-" + hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return [parent / name for parent in FALLBACKS]


def remove(directory: Path) -> None:
    """Delete what a state directory holds of ours (it may hold more), and data that root had to put elsewhere."""
    for name in OURS:
        for path in directory.glob(name):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    with suppress(OSError):  # not empty: the rest is not ours
        directory.rmdir()
    for path in fallbacks(directory):
        if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.geteuid():
            shutil.rmtree(path)


def passwords(home: Path) -> dict[str, str]:
    """The servers' passwords, made once and kept beside their data in a file that only the owner can read."""
    file = home / "passwords.json"
    if not file.exists():
        _write(file, json.dumps({name: secrets.token_urlsafe(24) for name in ("postgres", "valkey")}))
    known: dict[str, str] = json.loads(file.read_text())
    return known


def make_directory(path: Path, mode: int = 0o711) -> None:
    """Make a directory that others may pass through but not list; what exists is never touched."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def _lock(directory: Path) -> int:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + REAPER_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(fd, 32, 0).decode().strip()
            # A dead owner's reaper is still ending its processes: it then releases the lock.
            if (owner and Path("/proc", owner).exists()) or time.monotonic() > deadline:
                os.close(fd)
                raise StateInUse(
                    f"{directory} is in use by process {owner or '?'}: another `make demo` or `make serve`. "
                    "Stop that one, or use another directory with STATE_DIR=/some/where."
                ) from error
            time.sleep(0.1)
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            return fd


def _write(file: Path, text: str) -> None:
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    draft.replace(file)
