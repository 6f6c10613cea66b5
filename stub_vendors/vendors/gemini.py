"""Gemini's Developer API: a wrong key is a bad request, and refusals are successes without an image."""

from typing import Any

from fastapi import APIRouter, Request

from stub_vendors.desk import Desk, Says
from stub_vendors.google import error, generate, says

_WRONG = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}
SAYS = says(Says(400, error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", _WRONG)))


def routes(desk: Desk) -> APIRouter:
    """Its paths."""
    router = APIRouter()

    @router.post("/v1beta/models/{called}")
    async def called(request: Request, called: str) -> dict[str, Any]:
        return await generate(desk, request, request.headers.get("x-goog-api-key"), called)

    return router
