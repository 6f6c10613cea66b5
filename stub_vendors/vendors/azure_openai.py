"""Azure's resource with OpenAI's image models: the v1 route, and the older one with the deployment in its path."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, bearer, document

_KNOWN = {
    "model": str,
    "prompt": str,
    "n": int,
    "size": str,
    "quality": str,
    "background": str,
    "moderation": str,
    "output_format": str,
    "output_compression": int,
    "user": str,
}
_PASSED = {"filtered": False, "severity": "safe"}
_CATEGORIES = ("hate", "self_harm", "sexual", "violence")


def _error(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **more}}


ERRORS = {
    WRONG_KEY: ErrorReply(401, _error("401", "Access denied due to invalid subscription key or wrong API endpoint.")),
    Scenario.REFUSED_PROMPT: ErrorReply(
        400,
        _error(
            "content_policy_violation",
            "Your request was rejected as a result of our safety system.",
            type="invalid_request_error",
            inner_error={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_results": {
                    **dict.fromkeys(_CATEGORIES, _PASSED),
                    "violence": {"filtered": True, "severity": "high"},
                },
            },
        ),
    ),
    Scenario.REFUSED_OUTPUT: ErrorReply(
        400, _error("contentFilter", "Generated image was filtered as a result of our safety system.")
    ),
    Scenario.RATE_LIMITED: ErrorReply(
        429,
        _error("429", "Requests to the ImageGenerations_Create Operation have exceeded the rate limit."),
        {"retry-after": "{seconds}"},
    ),
    Scenario.QUOTA: ErrorReply(429, _error("insufficient_quota", "You exceeded your current quota.")),
    Scenario.SERVER_ERROR: ErrorReply(500, _error("InternalServerError", "The server had an error.")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    async def generate(request: Request, key: str | None, model: str | None) -> JSONResponse:
        body = await document(request) or {}
        for name, value in body.items():
            if name not in _KNOWN or type(value) is not _KNOWN[name]:
                raise _invalid(f"Unknown or invalid parameter: '{name}'.")
        if not body.get("prompt"):
            raise _invalid("Missing required parameter: 'prompt'.")
        if not (model or body.get("model")):
            raise _invalid("Missing required parameter: 'model'.")
        if "user" in body:
            stub.ledger.safety_identifiers.add(body["user"])
        order = await stub.generate(request, key, body["prompt"])
        return JSONResponse(
            {
                "created": 1_795_000_000,
                "background": "opaque",
                "output_format": body.get("output_format", "png"),
                "quality": body.get("quality", "medium"),
                "size": body.get("size", "1024x1024"),
                "data": [
                    {
                        "b64_json": b64encode(stub.image(order)).decode(),
                        "content_filter_results": dict.fromkeys(_CATEGORIES, _PASSED),
                    }
                ],
            }
        )

    @router.post("/openai/v1/images/generations")
    async def by_model(request: Request) -> JSONResponse:
        return await generate(request, request.headers.get("api-key") or bearer(request), None)

    @router.post("/openai/deployments/{deployment}/images/generations")
    async def by_path(request: Request, deployment: str) -> JSONResponse:
        if not request.query_params.get("api-version"):
            raise StubResponse(JSONResponse(_error("404", "Resource not found"), 404))
        return await generate(request, request.headers.get("api-key"), deployment)

    return router


def _invalid(message: str) -> StubResponse:
    return StubResponse(JSONResponse(_error("invalid_request", message, type="invalid_request_error"), 400))
