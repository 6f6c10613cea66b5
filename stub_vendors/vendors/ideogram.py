"""Ideogram 3.0 and 4.0: unsafe images are listed without an address, unsafe prompts have status 422."""

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub

_SHARED = ("resolution", "rendering_speed")
_V3 = (
    *("prompt", "magic_prompt", "num_images", "seed", "aspect_ratio", "style_type", "style_preset"),
    *("negative_prompt", "custom_model_uri"),
)
_V4 = ("text_prompt", "json_prompt", "enable_copyright_detection")
_SPEEDS = ("TURBO", "DEFAULT", "QUALITY")
_MAGIC = ("AUTO", "ON", "OFF")
_LARGEST_SEED = 2**31 - 1

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"error": "Not authorized"}),
    Scenario.REFUSED_PROMPT: ErrorReply(422, {"error": "Prompt or provided image failed the safety checks"}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"error": "Too many requests"}),
    Scenario.QUOTA: ErrorReply(402, {"error": "Payment required"}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"error": "Internal server error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.get("/ephemeral/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/v1/ideogram-v3/generate")
    async def three(request: Request) -> dict[str, Any]:
        fields = await _form(request, (*_SHARED, *_V3))
        if fields.get("magic_prompt", "AUTO") not in _MAGIC or not fields.get("prompt"):
            raise _invalid("Invalid input provided.")
        seed = fields.get("seed")
        if seed is not None and not (seed.isdigit() and int(seed) <= _LARGEST_SEED):
            raise _invalid("Invalid seed.")
        order = await _generated(request, fields["prompt"], None if seed is None else int(seed))
        prompt = order.prompt if fields.get("magic_prompt") == "OFF" else f"A magical {order.prompt}"
        return _answer(request, order, prompt)

    @router.post("/v1/ideogram-v4/generate")
    async def four(request: Request) -> dict[str, Any]:
        fields = await _form(request, (*_SHARED, *_V4))
        if ("text_prompt" in fields) == ("json_prompt" in fields):
            raise _invalid("Supply exactly one of text_prompt and json_prompt.")
        if "text_prompt" in fields:
            order = await _generated(request, fields["text_prompt"], None)
            return _answer(request, order, f"A magical {order.prompt}")
        try:
            caption = json.loads(fields["json_prompt"])["high_level_description"]
        except (ValueError, KeyError, TypeError):
            raise _invalid("json_prompt is no structured prompt.") from None
        return _answer(request, await _generated(request, caption, None), fields["json_prompt"])

    async def _generated(request: Request, prompt: str, seed: int | None) -> PlacedOrder:
        return await stub.generate(request, request.headers.get("api-key"), prompt, seed)

    def _answer(request: Request, order: PlacedOrder, prompt: str) -> dict[str, Any]:
        safe = order.scenario is not Scenario.REFUSED_OUTPUT
        address = stub.address(request, order, f"{stub.name}/ephemeral/{order.id}.png?exp=1795000000&sig=x")
        image = {
            "prompt": prompt,
            "resolution": "1024x1024",
            "is_image_safe": safe,
            "seed": order.seed,
            "url": address if safe else "",
            "style_type": "GENERAL",
        }
        return {"created": "2026-11-27T09:00:00+00:00", "data": [image]}

    return router


async def _form(request: Request, known: tuple[str, ...]) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise _invalid("The content type must be multipart/form-data.")
    async with request.form() as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise _invalid(f"Unknown field: {unknown[0]}.")
    if fields.get("rendering_speed", "DEFAULT") not in _SPEEDS:
        raise _invalid("Invalid rendering_speed.")
    return fields


def _invalid(message: str) -> StubResponse:
    return StubResponse(JSONResponse({"error": message}, 400))
