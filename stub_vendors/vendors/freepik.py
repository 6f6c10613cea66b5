"""Freepik's API: tasks of Mystic, and of another model that takes seeds."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, document

_HEADERS = ("x-freepik-api-key", "x-magnific-api-key")
_MYSTIC = {
    "prompt": str,
    "webhook_url": str,
    "resolution": str,
    "aspect_ratio": str,
    "model": str,
    "engine": str,
    "creative_detailing": int,
    "fixed_generation": bool,
    "filter_nsfw": bool,
}
_FLUX = {
    "prompt": str,
    "webhook_url": str,
    "prompt_upsampling": bool,
    "seed": int,
    "aspect_ratio": str,
    "safety_tolerance": int,
    "output_format": str,
}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"message": "Invalid API key"}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"message": "Too many requests"}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"message": "Internal server error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    async def submitted(request: Request, known: dict[str, type]) -> dict[str, Any]:
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not known.get(name)]
        if wrong or not body.get("prompt"):
            fields = [{"field": name, "reason": "is missing, unknown or not valid"} for name in wrong or ["prompt"]]
            raise StubResponse(JSONResponse({"message": "Validation error", "invalid_params": fields}, 400))
        order = stub.submit(_key(request), body["prompt"], body.get("seed"))
        return {"data": {"task_id": order.id, "status": "CREATED", "generated": []}}

    def answered(request: Request, task: str, flagged: bool) -> dict[str, Any]:
        order = stub.task(_key(request), task)
        if order is None:
            raise StubResponse(JSONResponse({"message": "Task not found"}, 404))
        data: dict[str, Any] = {"task_id": task, "status": "IN_PROGRESS", "generated": []}
        if order.ready:
            address = stub.address(request, order, f"{stub.name}/statics/{task}.png?token=exp~hmac")
            data |= {"status": "COMPLETED", "generated": [address]}
            data |= {"has_nsfw": [_flag(order)]} if flagged else {}
        return {"data": data}

    @router.get("/statics/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/v1/ai/mystic")
    async def mystic(request: Request) -> dict[str, Any]:
        return await submitted(request, _MYSTIC)

    @router.get("/v1/ai/mystic/{task}")
    def mystic_task(request: Request, task: str) -> dict[str, Any]:
        return answered(request, task, flagged=True)

    @router.post("/v1/ai/text-to-image/flux-pro-v1-1")
    async def flux(request: Request) -> dict[str, Any]:
        return await submitted(request, _FLUX)

    @router.get("/v1/ai/text-to-image/flux-pro-v1-1/{task}")
    def flux_task(request: Request, task: str) -> dict[str, Any]:
        return answered(request, task, flagged=False)

    return router


def _key(request: Request) -> str | None:
    return next((request.headers[name] for name in _HEADERS if name in request.headers), None)


def _flag(order: PlacedOrder) -> bool:
    return order.scenario is Scenario.REFUSED_OUTPUT
