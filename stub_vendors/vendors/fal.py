"""fal's queue API for two endpoints: addresses to poll, 202 until done, a black image if its checker rejects it."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import (
    WRONG_KEY,
    ErrorReply,
    PlacedOrder,
    StubResponse,
    VendorStub,
    authorization,
    document,
)

_ALL = {"prompt": str, "seed": int, "num_inference_steps": int, "guidance_scale": float, "num_images": int}
_FLUX = {
    **_ALL,
    "image_size": str,
    "enable_safety_checker": bool,
    "output_format": str,
    "acceleration": str,
    "sync_mode": bool,
}
_KNOWN = {"fal-ai/aura-flow": {**_ALL, "expand_prompt": bool}, "fal-ai/flux/dev": _FLUX}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"detail": "Cannot access application. Authentication is required."}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"detail": "Too many requests."}),
    Scenario.QUOTA: ErrorReply(403, {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"detail": "Internal server error"}, {"x-fal-error-type": "internal_error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    def found(request: Request, task: str) -> PlacedOrder:
        order = stub.task(authorization(request, "Key"), task)
        if order is None:
            raise StubResponse(JSONResponse({"detail": "Request not found"}, 404))
        return order

    def addresses(request: Request, order: PlacedOrder, app: str) -> dict[str, str]:
        at = f"{stub.name}/{app}/requests/{order.id}"
        paths = {"status_url": f"{at}/status", "response_url": at, "cancel_url": f"{at}/cancel"}
        return {name: stub.address(request, order, path) for name, path in paths.items()}

    @router.get("/files/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.get("/{owner}/{app}/requests/{task}/status")
    def status(request: Request, owner: str, app: str, task: str) -> JSONResponse:
        order = found(request, task)
        answer = {"request_id": task, "logs": None, **addresses(request, order, f"{owner}/{app}")}
        if order.ready or order.scenario is Scenario.REFUSED_PROMPT:
            return JSONResponse({"status": "COMPLETED", "metrics": {"inference_time": 1.5}, **answer})
        return JSONResponse({"status": "IN_PROGRESS", **answer}, 202)

    @router.get("/{owner}/{app}/requests/{task}")
    def response(request: Request, owner: str, app: str, task: str) -> JSONResponse:
        order = found(request, task)
        if order.scenario is Scenario.REFUSED_PROMPT:
            raise StubResponse(JSONResponse({"detail": [_flagged(order.prompt)]}, 422, {"x-fal-retryable": "false"}))
        if not order.ready:
            raise StubResponse(JSONResponse({"detail": "Request is still in progress"}, 400))
        address = f"{str(request.base_url).rstrip('/')}/{stub.name}/files/{task}.png"
        side = stub.behavior.side
        return JSONResponse(
            {
                "images": [{"url": address, "width": side, "height": side, "content_type": "image/png"}],
                "timings": {"inference": 1.5},
                "seed": order.seed,
                "has_nsfw_concepts": [order.scenario is Scenario.REFUSED_OUTPUT],
                "prompt": order.prompt,
            }
        )

    @router.post("/{owner}/{app}")
    @router.post("/{owner}/{app}/{path:path}")
    async def submit(request: Request, owner: str, app: str, path: str = "") -> dict[str, Any]:
        known = _KNOWN.get(f"{owner}/{app}/{path}".rstrip("/"))
        if known is None:
            raise StubResponse(JSONResponse({"detail": f"Application {app} not found"}, 404))
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not known.get(name)]
        if wrong or not body.get("prompt"):
            at = ["body", *(wrong or ["prompt"])]
            raise StubResponse(JSONResponse({"detail": [{"loc": at, "msg": "not valid", "type": "value_error"}]}, 422))
        order = stub.submit(authorization(request, "Key"), body["prompt"], body.get("seed"))
        named = addresses(request, order, f"{owner}/{app}")
        return {"status": "IN_QUEUE", "request_id": order.id, "queue_position": 0, **named}

    return router


def _flagged(prompt: str) -> dict[str, Any]:
    return {
        "loc": ["body", "prompt"],
        "msg": "The content could not be processed because it was flagged by a content checker.",
        "type": "content_policy_violation",
        "url": "https://docs.fal.ai/errors#content_policy_violation",
        "input": prompt,
    }
