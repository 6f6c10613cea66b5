"""starryai, as far as clients' code shows it; what errors say is made up, their statuses are HTTP's own."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.desk import WRONG_KEY, Desk, Says, StubResponse
from stub_vendors.reading import document
from stub_vendors.scenario import Scenario

_KNOWN = {
    "prompt": str,
    "negativePrompt": str,
    "model": str,
    "aspectRatio": str,
    "highResolution": bool,
    "images": int,
    "steps": int,
    "seed": int,
    "initialImageMode": str,
}
_RATIOS = ("square", "landscape", "portrait")

SAYS = {
    WRONG_KEY: Says(401, {"message": "Unauthorized"}),
    Scenario.RATE_LIMITED: Says(429, {"message": "Too many requests"}, {"retry-after": "{seconds}"}),
    Scenario.SERVER_ERROR: Says(500, {"message": "Internal server error"}),
}


def routes(desk: Desk) -> APIRouter:
    """Its paths."""
    router = APIRouter()

    @router.get("/images/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return desk.download(request, task)

    @router.post("/creations/")
    async def submit(request: Request) -> dict[str, Any]:
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not _KNOWN.get(name)]
        if wrong or not body.get("prompt") or body.get("aspectRatio", "square") not in _RATIOS:
            raise StubResponse(JSONResponse({"message": f"Invalid: {wrong or 'prompt or aspectRatio'}"}, 400))
        order = desk.submit(request.headers.get("x-api-key"), body["prompt"], body.get("seed"))
        return {"id": _number(order.id), "status": "submitted", "expired": False, "images": []}

    @router.get("/creations/{number}")
    def poll(request: Request, number: int) -> dict[str, Any]:
        order = desk.task(request.headers.get("x-api-key"), f"{desk.vendor}-{number}")
        if order is None:
            raise StubResponse(JSONResponse({"message": "Not found"}, 404))
        address = desk.address(request, order, f"{desk.vendor}/images/{order.id}.png")
        return {
            "id": number,
            "status": "completed" if order.ready else "in progress",
            "prompt": order.prompt,
            "expired": False,
            "images": [{"id": number, "url": address}] if order.ready else [],
        }

    return router


def _number(order: str) -> int:
    return int(order.rpartition("-")[2])
