"""Leonardo's REST API."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, bearer, document

_NUMBER = (int, float)
_KNOWN: dict[str, Any] = {
    "prompt": str,
    "modelId": str,
    "num_images": int,
    "width": int,
    "height": int,
    "seed": int,
    "alchemy": bool,
    "ultra": bool,
    "public": bool,
    "enhancePrompt": bool,
    "contrast": _NUMBER,
    "contrastRatio": _NUMBER,
    "presetStyle": str,
    "photoReal": bool,
    "photoRealVersion": str,
    "negative_prompt": str,
    "guidance_scale": _NUMBER,
    "num_inference_steps": int,
    "scheduler": str,
}
_LARGEST_SEED = 9_999_999_998


def _error(message: str, code: str = "unexpected") -> dict[str, Any]:
    return {"error": message, "path": "$", "code": code}


ERRORS = {
    WRONG_KEY: ErrorReply(401, _error("Authentication hook unauthorized this request", "access-denied")),
    Scenario.REFUSED_PROMPT: ErrorReply(400, _error("Prompt was flagged by our content moderation filter")),
    Scenario.RATE_LIMITED: ErrorReply(429, _error("Too many requests")),
    Scenario.QUOTA: ErrorReply(400, _error("not enough api tokens")),
    Scenario.SERVER_ERROR: ErrorReply(500, _error("internal error")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    bodies: dict[str, dict[str, Any]] = {}

    @router.get("/cdn/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/api/rest/v1/generations")
    async def submit(request: Request) -> dict[str, Any]:
        body = {name: value for name, value in (await document(request) or {}).items() if value is not None}
        _check(body)
        order = stub.submit(bearer(request), body["prompt"], body.get("seed"))
        bodies[order.id] = body
        return {"sdGenerationJob": {"generationId": order.id, "apiCreditCost": 8}}

    @router.get("/api/rest/v1/generations/{task}")
    def poll(request: Request, task: str) -> dict[str, Any]:
        order = stub.task(bearer(request), task)
        return {"generations_by_pk": None if order is None else _generation(request, order)}

    def _generation(request: Request, order: PlacedOrder) -> dict[str, Any]:
        body = bodies[order.id]
        images = []
        if order.ready:
            address = stub.address(request, order, f"{stub.name}/cdn/{order.id}.png")
            nsfw = order.scenario is Scenario.REFUSED_OUTPUT
            images = [{"id": order.id, "url": address, "nsfw": nsfw, "likeCount": 0, "motionMP4URL": None}]
        return {
            "id": order.id,
            "status": "COMPLETE" if order.ready else "PENDING",
            "prompt": f"An enhanced {order.prompt}" if body.get("enhancePrompt") else order.prompt,
            "seed": order.seed,
            "modelId": body.get("modelId"),
            "imageWidth": body.get("width", 1024),
            "imageHeight": body.get("height", 768),
            "generated_images": images,
            "generation_elements": [],
            "public": body.get("public", False),
            "createdAt": "2026-11-27T09:00:00.000",
        }

    return router


def _check(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if name not in _KNOWN or not isinstance(value, _KNOWN[name]):
            raise _invalid(f"unexpected variables or type: {name}")
    if not 0 < len(body.get("prompt", "")) <= 1_500:
        raise _invalid("prompt: must have 1 to 1500 characters")
    if not 0 <= body.get("seed", 0) <= _LARGEST_SEED:
        raise _invalid("seed: out of range")
    for name in ("width", "height"):
        if body.get(name, 512) % 8 or not 32 <= body.get(name, 512) <= 1_536:
            raise _invalid(f"{name}: must be a multiple of 8 between 32 and 1536")


def _invalid(message: str) -> StubResponse:
    return StubResponse(JSONResponse(_error(message, "bad-request"), 400))
