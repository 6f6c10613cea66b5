"""The stub's own endpoints, below /_stub: the behavior of the vendors, and the ledgers of what they were asked."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from stub_vendors.scenario import Behavior
from stub_vendors.vendor_stub import VendorStub


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


WINDOW_SECONDS = 60.0


def control(stubs: Mapping[str, VendorStub]) -> APIRouter:
    """The routes, and a last one for all other paths."""
    router = APIRouter()
    unknown: list[dict[str, str]] = []

    def stub_of(vendor: str) -> VendorStub:
        if vendor not in stubs:
            raise HTTPException(404, f"There are {', '.join(stubs)}.")
        return stubs[vendor]

    @router.get("/_stub/billed")
    def billed() -> dict[str, Any]:
        each = {name: stub.ledger.billed for name, stub in stubs.items()}
        return {"total": sum(each.values()), "vendors": each}

    @router.get("/_stub/counts")
    def counts(window: float = WINDOW_SECONDS) -> dict[str, Any]:
        return {name: stub.ledger.document(window) for name, stub in stubs.items()}

    @router.post("/_stub/reset", status_code=204)
    def reset() -> None:
        for stub in stubs.values():
            stub.reset()
        unknown.clear()

    @router.get("/_stub/unknown-requests")
    def unknown_requests() -> list[dict[str, str]]:
        return unknown

    @router.put("/_stub/vendors")
    def behave_all(behavior: Behavior) -> Behavior:
        for stub in stubs.values():
            stub.behave(behavior)
        return behavior

    @router.put("/_stub/vendors/{vendor}")
    def behave(vendor: str, behavior: Behavior) -> Behavior:
        stub_of(vendor).behave(behavior)
        return behavior

    @router.get("/_stub/vendors/{vendor}")
    def behavior_of(vendor: str) -> Behavior:
        return stub_of(vendor).behavior

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def other(request: Request, path: str) -> Response:
        """A path of no vendor: the request is recorded with its headers."""
        unknown.append({"path": f"/{path}", **request.headers})
        return Response("There is nothing here.", 404)

    return router
