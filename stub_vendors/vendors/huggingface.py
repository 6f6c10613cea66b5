"""Hugging Face's router: hf-inference, whose response is the image's bytes, and three other providers."""

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, bearer, document

_PARAMETERS = {
    "width": int,
    "height": int,
    "num_inference_steps": int,
    "guidance_scale": float,
    "negative_prompt": str,
    "scheduler": str,
    "seed": int,
}
_FAL = {"prompt": str, "image_size": dict, "num_inference_steps": int, "guidance_scale": float, "seed": int}
_OPENAI = {"model": str, "prompt": str, "response_format": str, "seed": int}
_TOGETHER = {**_OPENAI, "width": int, "height": int, "steps": int, "guidance_scale": float}
_NSCALE = {**_OPENAI, "size": str, "guidance_scale": float}
LOADING = {"error": "Model is currently loading", "estimated_time": 20.0}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"error": "Invalid credentials in Authorization header"}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"error": "Too Many Requests"}, {"retry-after": "{seconds}"}),
    Scenario.QUOTA: ErrorReply(
        402, {"error": "You have exceeded your monthly included credits for Inference Providers."}
    ),
    Scenario.SERVER_ERROR: ErrorReply(500, {"error": "Internal Server Error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    async def generated(request: Request, body: dict[str, Any], prompt: str, known: dict[str, type]) -> PlacedOrder:
        wrong = [name for name, value in body.items() if type(value) is not known.get(name)]
        if wrong or not prompt:
            raise StubResponse(
                JSONResponse({"error": f"{(wrong or ['prompt'])[0]} is missing, unknown or not valid"}, 422)
            )
        return await stub.generate(request, bearer(request), prompt, body.get("seed"))

    async def generated_as(request: Request, known: dict[str, type]) -> PlacedOrder:
        body = await document(request) or {}
        return await generated(request, body, body.get("prompt", ""), known)

    @router.get("/files/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/hf-inference/models/{model:path}")
    async def own(request: Request, model: str) -> Response:
        if model.endswith("/loading"):  # a model that is always loading
            stub.check(bearer(request))
            return JSONResponse(LOADING, 503)
        body = await document(request) or {}
        wrong = [name for name in body if name not in ("inputs", "parameters")]
        if wrong:
            raise StubResponse(JSONResponse({"error": f"{wrong[0]} is unknown"}, 422))
        order = await generated(request, body.get("parameters", {}), body.get("inputs", ""), _PARAMETERS)
        return Response(stub.image(order), media_type="image/png")

    @router.post("/fal-ai/{model:path}")
    async def fal(request: Request, model: str) -> JSONResponse:
        order = await generated_as(request, _FAL)
        address = stub.address(request, order, f"{stub.name}/files/{order.id}.png")
        flags = [order.scenario is Scenario.REFUSED_OUTPUT]
        return JSONResponse({"images": [{"url": address}], "seed": order.seed, "has_nsfw_concepts": flags})

    @router.post("/{provider}/v1/images/generations")
    async def openai_like(request: Request, provider: str) -> JSONResponse:
        order = await generated_as(request, {"together": _TOGETHER, "nscale": _NSCALE}[provider])
        return JSONResponse({"data": [{"b64_json": b64encode(stub.image(order)).decode()}]})

    return router
