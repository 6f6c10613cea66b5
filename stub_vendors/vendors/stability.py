"""Stability's v2beta: multipart requests, and filtered images with status 200."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, bearer

_ROUTES = ("sd3", "core", "ultra")
_SD3_MODELS = ("sd3.5-large", "sd3.5-large-turbo", "sd3.5-medium")
_KNOWN = (
    "prompt",
    "model",
    "mode",
    "negative_prompt",
    "aspect_ratio",
    "seed",
    "output_format",
    "style_preset",
    "cfg_scale",
)
_LARGEST_SEED = 4_294_967_294


def _error(name: str, message: str) -> dict[str, Any]:
    return {"id": "3b5e1f0c9d8a7b6c", "name": name, "errors": [message]}


ERRORS = {
    WRONG_KEY: ErrorReply(401, _error("unauthorized", "The provided API key is invalid.")),
    Scenario.REFUSED_PROMPT: ErrorReply(
        403, _error("content_moderation", "Your request was flagged by our moderation.")
    ),
    # Without Retry-After: over its limit, it rejects requests for a minute.
    Scenario.RATE_LIMITED: ErrorReply(429, _error("rate_limit_exceeded", "You have exceeded the rate limit.")),
    Scenario.QUOTA: ErrorReply(402, _error("payment_required", "You lack sufficient credits.")),
    Scenario.SERVER_ERROR: ErrorReply(500, _error("internal_error", "An unexpected error occurred.")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.post("/v2beta/stable-image/generate/{route}")
    async def generate(request: Request, route: str) -> Response:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise StubResponse(JSONResponse(_error("bad_request", "content-type: must be multipart/form-data"), 400))
        async with request.form() as form:
            fields = {name: value for name, value in form.items() if isinstance(value, str)}
        _check(route, fields)
        seed = int(fields.get("seed", "0")) or None
        order = await stub.generate(request, bearer(request), fields["prompt"], seed)
        filtered = order.scenario is Scenario.REFUSED_OUTPUT
        finished = "CONTENT_FILTERED" if filtered else "SUCCESS"
        image = stub.image(order)
        if request.headers.get("accept") != "application/json":
            return Response(image, 200, {"finish-reason": finished, "seed": str(order.seed)}, "image/png")
        return JSONResponse({"image": b64encode(image).decode(), "finish_reason": finished, "seed": order.seed})

    return router


def _check(route: str, fields: dict[str, str]) -> None:
    wrong = [f"{name}: unknown" for name in fields if name not in _KNOWN]
    if route not in _ROUTES:
        raise StubResponse(JSONResponse(_error("not_found", "No such route."), 404))
    if not 0 < len(fields.get("prompt", "")) <= 10_000:
        wrong.append("prompt: must have 1 to 10000 characters")
    if not fields.get("seed", "0").isdigit() or int(fields.get("seed", "0")) > _LARGEST_SEED:
        wrong.append("seed: must be 0 to 4294967294")
    if "model" in fields and (route != "sd3" or fields["model"] not in _SD3_MODELS):
        wrong.append("model: unknown")
    if wrong:
        raise StubResponse(JSONResponse({**_error("bad_request", wrong[0]), "errors": wrong}, 400))
