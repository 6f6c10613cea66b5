"""Adobe's Firefly with both of its routes, and the token service."""

from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, bearer, document

CLIENT = "client-of-ours"
_KNOWN: dict[str, type] = {
    "prompt": str,
    "negativePrompt": str,
    "numVariations": int,
    "seeds": list,
    "size": dict,
    "contentClass": str,
    "visualIntensity": int,
    "promptBiasingLocaleCode": str,
    "style": dict,
    "structure": dict,
    "tileable": bool,
}
_MODELS = ("image3", "image3_custom", "image4_standard", "image4_ultra", "image4_custom")
_SIZES = {
    *((2048, 2048), (2304, 1792), (1792, 2304), (2688, 1536)),
    *((1344, 768), (1152, 896), (896, 1152), (1024, 1024)),
}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"error_code": "401013", "message": "Oauth token is not valid"}),
    Scenario.REFUSED_PROMPT: ErrorReply(422, {"error_code": "prompt_unsafe"}),
    Scenario.REFUSED_OUTPUT: ErrorReply(422, {"error_code": "output_media_unsafe"}),
    Scenario.RATE_LIMITED: ErrorReply(
        429, {"error_code": "429001", "message": "Too many requests"}, {"retry-after": "{seconds}"}
    ),
    Scenario.SERVER_ERROR: ErrorReply(500, {"error_code": "runtime_error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    access_token = f"token-for-a-secret-{stub.name}"

    def key(request: Request) -> str | None:
        known = request.headers.get("x-api-key") == CLIENT and bearer(request) == access_token
        return stub.key if known else None

    @router.post("/ims/token/v3")
    async def token(request: Request) -> dict[str, Any]:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if form.get("client_id") != CLIENT or form.get("client_secret") != stub.key:
            raise StubResponse(JSONResponse({"error": "invalid_client"}, 401))
        if form.get("grant_type") != "client_credentials" or "firefly_api" not in form.get("scope", "").split(","):
            raise StubResponse(JSONResponse({"error": "invalid_scope"}, 400))
        return {"access_token": access_token, "token_type": "bearer", "expires_in": 86_399}

    @router.get("/presigned/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/v3/images/generate")
    async def at_once(request: Request) -> dict[str, Any]:
        body = _check(await document(request))
        order = await stub.generate(request, key(request), body["prompt"], _seed(body))
        return _result(request, order, body)

    @router.post("/v3/images/generate-async", status_code=202)
    async def later(request: Request) -> dict[str, Any]:
        body = _check(await document(request))
        if request.headers.get("x-model-version", "image3") not in _MODELS:
            raise _invalid("x-model-version: no such model")
        order = stub.submit(key(request), body["prompt"], _seed(body))
        job = f"urn:firefly:jobs:{order.id}"
        bodies[order.id] = body
        return {
            "jobId": job,
            "statusUrl": stub.address(request, order, f"{stub.name}/v3/status/{job}"),
            "cancelUrl": stub.address(request, order, f"{stub.name}/v3/cancel/{job}"),
        }

    bodies: dict[str, dict[str, Any]] = {}

    @router.get("/v3/status/{job}")
    def status(request: Request, job: str) -> dict[str, Any]:
        order = stub.task(key(request), job.rpartition(":")[2])
        if order is None:
            raise StubResponse(JSONResponse({"error_code": "not_found"}, 404))
        if not order.ready:
            return {"jobId": job, "status": "running", "progress": 50}
        return {"jobId": job, "status": "succeeded", "result": _result(request, order, bodies[order.id])}

    def _result(request: Request, order: PlacedOrder, body: dict[str, Any]) -> dict[str, Any]:
        address = stub.address(request, order, f"{stub.name}/presigned/{order.id}.png?X-Amz-Expires=3600")
        denied = {"promptHasDeniedWords": True} if "[denied]" in order.prompt else {}
        return {
            "size": body.get("size", {"width": 2048, "height": 2048}),
            "outputs": [{"seed": order.seed, "image": {"url": address}}],
            "contentClass": body.get("contentClass", "art"),
            **denied,
        }

    return router


def _seed(body: dict[str, Any]) -> int | None:
    return body["seeds"][0] if "seeds" in body else None


def _check(body: dict[str, Any] | None) -> dict[str, Any]:
    if body is None:
        raise StubResponse(JSONResponse({"error_code": "bad_request"}, 400))
    for name, value in body.items():
        if name not in _KNOWN or type(value) is not _KNOWN[name]:
            raise _invalid(f"{name}: extra field or wrong type")
    if not 0 < len(body.get("prompt", "")) <= 1_024:
        raise _invalid("prompt: must have 1 to 1024 characters")
    seeds, variations = body.get("seeds"), body.get("numVariations", 1)
    if seeds is not None and (len(seeds) != variations or not all(type(seed) is int for seed in seeds)):
        raise _invalid("seeds: one whole number for each variation")
    size = body.get("size", {"width": 2048, "height": 2048})
    if size.keys() != {"width", "height"} or (size["width"], size["height"]) not in _SIZES:
        raise _invalid("size: not supported")
    if body.get("contentClass", "art") not in ("photo", "art"):
        raise _invalid("contentClass: permitted: 'photo', 'art'")
    return body


def _invalid(message: str) -> StubResponse:
    error = {"loc": ["body"], "msg": message, "type": "value_error"}
    return StubResponse(JSONResponse({"error_code": "validation_error", "validation_errors": [error]}, 422))
