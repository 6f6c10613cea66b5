"""OpenAI's images API, for GPT image models (base64 only, no seeds), and its chat completions."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stub_vendors.chat import chat
from stub_vendors.request_fields import bearer, document
from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub

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
    "stream": bool,
    "safety_identifier": str,
    "user": str,
}


def _error(kind: str, code: str | None, message: str, param: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **more}}


def _blocked(stage: str) -> ErrorReply:
    details = {"moderation_stage": stage, "categories": ["violence"]}
    message = "Your request was rejected by the safety system."
    return ErrorReply(
        400,
        _error("image_generation_user_error", "moderation_blocked", message, moderation_details=details),
    )


ERRORS = {
    WRONG_KEY: ErrorReply(
        401, _error("invalid_request_error", "invalid_api_key", "Incorrect API key provided: stub-****.")
    ),
    Scenario.REFUSED_PROMPT: _blocked("input"),
    Scenario.REFUSED_OUTPUT: _blocked("output"),
    Scenario.RATE_LIMITED: ErrorReply(
        429,
        _error("rate_limit_exceeded", "rate_limit_exceeded", "Rate limit reached for gpt-image-2 on images per min."),
        {"retry-after": "{seconds}", "retry-after-ms": "{milliseconds}"},
    ),
    Scenario.QUOTA: ErrorReply(
        429,
        _error("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    ),
    Scenario.SERVER_ERROR: ErrorReply(500, _error("server_error", None, "The server had an error.")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    router.include_router(chat(stub))

    @router.post("/v1/images/generations")
    async def generate(request: Request) -> JSONResponse:
        body = await document(request)
        if body is None:
            raise _invalid("We could not parse the JSON body of your request.", None)
        for name, value in body.items():
            if name not in _KNOWN:
                raise _invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
            if type(value) is not _KNOWN[name]:
                raise _invalid(f"Invalid type for '{name}'.", name, "invalid_type")
        if not body.get("prompt"):
            raise _invalid("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
        if "safety_identifier" in body:
            stub.ledger.safety_identifiers.add(body["safety_identifier"])
        order = await stub.generate(request, bearer(request), body["prompt"])
        return JSONResponse(
            {
                "created": 1_795_000_000,
                "background": "opaque",
                "output_format": body.get("output_format", "png"),
                "quality": body.get("quality", "medium"),
                "size": body.get("size", "1024x1024"),
                "data": [{"b64_json": b64encode(stub.image(order)).decode()}],
                "usage": {
                    "input_tokens": 12,
                    "input_tokens_details": {"image_tokens": 0, "text_tokens": 12},
                    "output_tokens": 1_056,
                    "total_tokens": 1_068,
                },
            }
        )

    return router


def _invalid(message: str, param: str | None, code: str | None = None) -> StubResponse:
    return StubResponse(JSONResponse(_error("invalid_request_error", code, message, param), 400))
