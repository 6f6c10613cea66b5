"""How long to wait before a process that died is started again: a pure rule, no clock."""

from __future__ import annotations

from dataclasses import dataclass


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
