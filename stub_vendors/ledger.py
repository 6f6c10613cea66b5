"""The counts of one vendor."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Ledger:
    """Counts of one vendor since the last reset; only the server's own thread writes."""

    orders: int = 0
    billed: int = 0
    polls: int = 0
    downloads: int = 0
    keys_leaked: int = 0  # downloads with a key
    scenarios: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak_concurrency: int = 0
    accepted_at: list[float] = field(default_factory=list)
    safety_identifiers: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """An order was accepted."""
        self.accepted_at.append(time.monotonic())
        self.in_flight += 1
        self.peak_concurrency = max(self.peak_concurrency, self.in_flight)

    def end(self) -> None:
        """An order has ended."""
        self.in_flight -= 1

    def within(self, seconds: float) -> int:
        """Orders accepted in the last `seconds`."""
        since = time.monotonic() - seconds
        return sum(moment > since for moment in self.accepted_at)

    def peak(self, seconds: float) -> int:
        """The most orders accepted within any period of `seconds`."""
        most = first = 0
        for last, moment in enumerate(self.accepted_at):
            while moment - self.accepted_at[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def document(self, window: float) -> dict[str, Any]:
        """The counts as data; `window` is the period of the peak in seconds."""
        return {
            "orders": self.orders,
            "accepted": len(self.accepted_at),
            "billed": self.billed,
            "polls": self.polls,
            "downloads": self.downloads,
            "keys_leaked": self.keys_leaked,
            "scenarios": dict(self.scenarios),
            "in_flight": self.in_flight,
            "peak_concurrency": self.peak_concurrency,
            "peak_in_window": self.peak(window),
            "safety_identifiers": sorted(self.safety_identifiers),
        }
