"""The stub's own endpoints, below /_stub: the behavior of the vendors, and their counts."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from stub_vendors.scenario import Behavior
from stub_vendors.vendor_stub import VendorStub

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
