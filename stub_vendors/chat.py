"""OpenAI's chat completions with an image in the messages; the response is a sentence with the image's color.

The scenarios `withheld` and `sorry` are two kinds of refusal, `broken` is a truncated response.
"""

import json
import time
from base64 import b64decode
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image, UnidentifiedImageError

from attribution.caption.fake import FakeCaptioner
from stub_vendors.request_fields import bearer, document
from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import StubResponse, VendorStub

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


def _invalid(message: str) -> StubResponse:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return StubResponse(JSONResponse({"error": error}, 400))
