"""Gemini's Developer API: a wrong key is a bad request, and refusals have status 200 and no image."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, document

_BODY = {"contents", "generationConfig", "safetySettings", "systemInstruction"}
_SETTINGS: dict[str, Any] = {
    "responseModalities": list,
    "candidateCount": int,
    "seed": int,
    "temperature": (float, int),
    "imageConfig": dict,
}
_IMAGE = {"aspectRatio", "imageSize"}
_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_SIZES = ("1K", "2K", "4K")


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """An error in the format of Google's APIs."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def errors_with(wrong_key: ErrorReply) -> dict[str, ErrorReply]:
    """The errors; only that of a wrong key differs between the APIs."""
    return {
        WRONG_KEY: wrong_key,
        Scenario.RATE_LIMITED: ErrorReply(
            429,
            error(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan.",
                _violation("GenerateRequestsPerMinutePerProjectPerModel"),
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "{seconds}s"},
            ),
        ),
        Scenario.QUOTA: ErrorReply(
            429,
            error(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan.",
                _violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"},
            ),
        ),
        Scenario.SERVER_ERROR: ErrorReply(500, error(500, "INTERNAL", "An internal error has occurred.")),
    }


async def generate(stub: VendorStub, request: Request, key: str | None, called: str) -> dict[str, Any]:
    """A response of `generateContent`; `called` is the model with the method's name appended."""
    model, _, method = called.partition(":")
    if method != "generateContent":
        raise StubResponse(JSONResponse(error(404, "NOT_FOUND", "Method not found."), 404))
    prompt, seed = _read(await document(request) or {})
    order = await stub.generate(request, key, prompt, seed)
    usage = {"promptTokenCount": 8, "totalTokenCount": 8}
    head = {"modelVersion": model, "responseId": order.id, "usageMetadata": usage}
    if order.scenario is Scenario.REFUSED_PROMPT:
        return {**head, "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    return {**head, "candidates": [_candidate(stub, order)]}


def _candidate(stub: VendorStub, order: PlacedOrder) -> dict[str, Any]:
    if order.scenario is Scenario.REFUSED_OUTPUT:
        return {"index": 0, "finishReason": "IMAGE_SAFETY", "finishMessage": "Unable to show the generated image."}
    image = {"mimeType": "image/png", "data": b64encode(stub.image(order)).decode()}
    return {"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"inlineData": image}]}}


def _read(body: dict[str, Any]) -> tuple[str, int | None]:
    """Prompt and seed. Raises StubResponse."""
    settings = body.get("generationConfig", {})
    image = settings.get("imageConfig", {})
    wrong = [name for name in body if name not in _BODY]
    wrong += [n for n, value in settings.items() if n not in _SETTINGS or not isinstance(value, _SETTINGS[n])]
    wrong += [name for name in image if name not in _IMAGE]
    if wrong:
        raise _invalid(f'Invalid JSON payload received. Unknown name "{wrong[0]}": Cannot find field.')
    if image.get("aspectRatio", "1:1") not in _RATIOS or image.get("imageSize", "1K") not in _SIZES:
        raise _invalid("Invalid value in image_config.")
    if not -(2**31) <= settings.get("seed", 0) < 2**31:
        raise _invalid("Invalid value at 'generation_config.seed' (TYPE_INT32).")
    prompt = "".join(part.get("text", "") for each in body.get("contents", []) for part in each.get("parts", []))
    if not prompt:
        raise _invalid("* GenerateContentRequest.contents: contents is not specified")
    return prompt, settings.get("seed")


def _violation(quota: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]}


def _invalid(message: str) -> StubResponse:
    return StubResponse(JSONResponse(error(400, "INVALID_ARGUMENT", message), 400))


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
