"""The stub's own endpoints, below /_stub: how vendors shall behave, and what they saw."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from stub_vendors.desk import Desk
from stub_vendors.scenario import Behavior

WINDOW_SECONDS = 60.0


def control(desks: Mapping[str, Desk]) -> APIRouter:
    """The routes."""
    router = APIRouter()
    strangers: list[dict[str, str]] = []

    def desk_of(vendor: str) -> Desk:
        if vendor not in desks:
            raise HTTPException(404, f"There are {', '.join(desks)}.")
        return desks[vendor]

    @router.get("/_stub/billed")
    def billed() -> dict[str, Any]:
        each = {name: desk.ledger.billed for name, desk in desks.items()}
        return {"total": sum(each.values()), "vendors": each}

    @router.get("/_stub/seen")
    def seen(window: float = WINDOW_SECONDS) -> dict[str, Any]:
        return {name: desk.ledger.document(window) for name, desk in desks.items()}

    @router.post("/_stub/forget", status_code=204)
    def forget() -> None:
        for desk in desks.values():
            desk.forget()
        strangers.clear()

    @router.get("/_stub/strangers")
    def who_came() -> list[dict[str, str]]:
        return strangers

    @router.put("/_stub/vendors")
    def behave_all(behavior: Behavior) -> Behavior:
        for desk in desks.values():
            desk.behave(behavior)
        return behavior

    @router.put("/_stub/vendors/{vendor}")
    def behave(vendor: str, behavior: Behavior) -> Behavior:
        desk_of(vendor).behave(behavior)
        return behavior

    @router.get("/_stub/vendors/{vendor}")
    def behaves(vendor: str) -> Behavior:
        return desk_of(vendor).behavior

    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def stranger(request: Request, path: str) -> Response:
        """Whatever no vendor has: remembered with its headers, to see who is sent here and what they bring along."""
        strangers.append({"path": f"/{path}", **request.headers})
        return Response("There is nothing here.", 404)

    return router
