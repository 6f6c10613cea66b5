"""OpenAI's chat completions with an image among the messages, as any server that speaks them answers: a sentence.

It names the image's color. `withheld` and `sorry` are two kinds of refusal, `broken` an answer that breaks off.
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
from stub_vendors.desk import Desk, StubResponse
from stub_vendors.reading import bearer, document
from stub_vendors.scenario import Scenario

_PLAIN_NO = "I'm sorry, but I can't help with describing this image."


def chat(desk: Desk) -> APIRouter:
    """Its path."""
    router = APIRouter()

    @router.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        asked = await document(request) or {}
        told, picture = _read(asked)
        order = await desk.generate(request, bearer(request), told)
        answer = _answer(order.id, asked["model"], FakeCaptioner().describe(picture), order.scenario)
        if order.scenario is Scenario.BROKEN:
            whole = json.dumps(answer).encode()
            return Response(whole[: len(whole) // 2], media_type="application/json")
        return JSONResponse(answer)

    return router


def _read(asked: dict[str, Any]) -> tuple[str, Image.Image]:
    """What is told, and the image. Raises Said."""
    if not isinstance(asked.get("model"), str):
        raise _invalid("you must provide a model parameter")
    told, pictures = [], []
    try:
        for message in asked["messages"]:
            for part in message["content"]:
                if part["type"] == "text":
                    told.append(str(part["text"]))
                elif part["type"] == "image_url":
                    head, _, data = part["image_url"]["url"].partition(";base64,")
                    if not head.startswith("data:image/"):
                        raise _invalid("Only data: URLs are looked at here.")
                    pictures.append(Image.open(BytesIO(b64decode(data, validate=True))).convert("RGB"))
                else:
                    raise _invalid(f"Invalid value: '{part['type']}'. Supported values are: 'text', 'image_url'.")
    except (KeyError, TypeError, AttributeError, ValueError, UnidentifiedImageError):
        raise _invalid("Invalid type for 'messages', or an image that is none.") from None
    if len(pictures) != 1:
        raise _invalid("This stub describes exactly one image.")
    return " ".join(told), pictures[0]


def _answer(name: str, model: str, description: str, scenario: Scenario) -> dict[str, Any]:
    refused = scenario is Scenario.WITHHELD
    content = None if refused else _PLAIN_NO if scenario is Scenario.SORRY else description
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
