"""starryai, according to the code of its clients; the texts of its errors are invented."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, document

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

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"message": "Unauthorized"}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"message": "Too many requests"}, {"retry-after": "{seconds}"}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"message": "Internal server error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.get("/images/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/creations/")
    async def submit(request: Request) -> dict[str, Any]:
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not _KNOWN.get(name)]
        if wrong or not body.get("prompt") or body.get("aspectRatio", "square") not in _RATIOS:
            raise StubResponse(JSONResponse({"message": f"Invalid: {wrong or 'prompt or aspectRatio'}"}, 400))
        order = stub.submit(request.headers.get("x-api-key"), body["prompt"], body.get("seed"))
        return {"id": _number(order.id), "status": "submitted", "expired": False, "images": []}

    @router.get("/creations/{number}")
    def poll(request: Request, number: int) -> dict[str, Any]:
        order = stub.task(request.headers.get("x-api-key"), f"{stub.name}-{number}")
        if order is None:
            raise StubResponse(JSONResponse({"message": "Not found"}, 404))
        address = stub.address(request, order, f"{stub.name}/images/{order.id}.png")
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
