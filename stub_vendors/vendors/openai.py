"""OpenAI's images API, for GPT image models (base64 only, no seeds), and its chat completions."""

import json
import time
from base64 import b64decode, b64encode
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image, UnidentifiedImageError

from attribution.caption.fake import FakeCaptioner
from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, bearer, document

_REFUSAL = "I'm sorry, but I can't help with describing this image."


def chat(stub: VendorStub) -> APIRouter:
    """The route of chat completions."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        body = await document(request) or {}
        text, image = _read(body)
        order = await stub.generate(request, bearer(request), text)
        completion = _completion(order.id, body["model"], FakeCaptioner().describe(image), order.scenario)
        if order.scenario is Scenario.BROKEN:
            whole = json.dumps(completion).encode()
            return Response(whole[: len(whole) // 2], media_type="application/json")
        return JSONResponse(completion)

    return router


def _read(body: dict[str, Any]) -> tuple[str, Image.Image]:
    """The text and the image of the messages. Raises StubResponse."""
    if not isinstance(body.get("model"), str):
        raise _invalid("you must provide a model parameter")
    texts, images = [], []
    try:
        for message in body["messages"]:
            for part in message["content"]:
                if part["type"] == "text":
                    texts.append(str(part["text"]))
                elif part["type"] == "image_url":
                    head, _, data = part["image_url"]["url"].partition(";base64,")
                    if not head.startswith("data:image/"):
                        raise _invalid("This stub accepts only data: URLs.")
                    images.append(Image.open(BytesIO(b64decode(data, validate=True))).convert("RGB"))
                else:
                    raise _invalid(f"Invalid value: '{part['type']}'. Supported values are: 'text', 'image_url'.")
    except (KeyError, TypeError, AttributeError, ValueError, UnidentifiedImageError):
        raise _invalid("Invalid type for 'messages', or an invalid image.") from None
    if len(images) != 1:
        raise _invalid("This stub describes exactly one image.")
    return " ".join(texts), images[0]


def _completion(name: str, model: str, description: str, scenario: Scenario) -> dict[str, Any]:
    refused = scenario is Scenario.WITHHELD
    content = None if refused else _REFUSAL if scenario is Scenario.SORRY else description
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content,
        "refusal": "I cannot describe people." if refused else None,
        "annotations": [],
    }
    return {
        "id": f"chatcmpl-{name}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 5, "total_tokens": 305},
        "service_tier": "default",
        "system_fingerprint": None,
    }


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
            raise _invalid("We could not parse the JSON body of your request.")
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


def _invalid(message: str, param: str | None = None, code: str | None = None) -> StubResponse:
    return StubResponse(JSONResponse(_error("invalid_request_error", code, message, param), 400))
