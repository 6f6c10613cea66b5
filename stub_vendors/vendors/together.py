"""Together's images API: base64 on demand, a black image if its checker rejects it."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, bearer, document

_KNOWN = {
    "model": str,
    "prompt": str,
    "n": int,
    "width": int,
    "height": int,
    "steps": int,
    "guidance_scale": float,
    "negative_prompt": str,
    "seed": int,
    "response_format": str,
    "output_format": str,
    "disable_safety_checker": bool,
}


def _error(kind: str, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    return {"id": "nqFbV-4yUbBN", "error": {"message": message, "type": kind, "param": param, "code": code}}


ERRORS = {
    WRONG_KEY: ErrorReply(401, _error("invalid_request_error", "invalid_api_key", "Invalid API key provided.")),
    # The message is not documented.
    Scenario.REFUSED_PROMPT: ErrorReply(422, _error("invalid_request_error", None, "NSFW content detected.", "prompt")),
    Scenario.RATE_LIMITED: ErrorReply(
        429, _error("rate_limit", "rate_limit", "You have reached the rate limit."), {"retry-after": "{seconds}"}
    ),
    Scenario.QUOTA: ErrorReply(402, _error("credit_limit", "credit_limit", "Your credit limit is exceeded.")),
    Scenario.SERVER_ERROR: ErrorReply(500, _error("server_error", None, "Internal server error.")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.get("/imgproxy/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/v1/images/generations")
    async def generate(request: Request) -> JSONResponse:
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not _KNOWN.get(name)]
        wrong += [name for name in ("model", "prompt") if not body.get(name)]
        if wrong:
            message = f"{wrong[0]} is missing, unknown or not valid"
            raise StubResponse(JSONResponse(_error("invalid_request_error", None, message, wrong[0]), 400))
        order = await stub.generate(request, bearer(request), body["prompt"], body.get("seed"))
        if body.get("response_format") == "base64":
            one = {"index": 0, "type": "b64_json", "b64_json": b64encode(stub.image(order)).decode()}
        else:
            address = stub.address(request, order, f"{stub.name}/imgproxy/{order.id}.png")
            one = {"index": 0, "type": "url", "url": address}
        return JSONResponse({"id": order.id, "model": body["model"], "object": "list", "data": [one]})

    return router
