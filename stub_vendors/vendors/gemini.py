"""Gemini's Developer API: a wrong key is a bad request, and refusals have status 200 and no image."""

from typing import Any

from fastapi import APIRouter, Request

from stub_vendors.google import error, errors_with, generate
from stub_vendors.vendor_stub import ErrorReply, VendorStub

_WRONG = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}
ERRORS = errors_with(
    ErrorReply(400, error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", _WRONG))
)


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.post("/v1beta/models/{called}")
    async def called(request: Request, called: str) -> dict[str, Any]:
        return await generate(stub, request, request.headers.get("x-goog-api-key"), called)

    return router
