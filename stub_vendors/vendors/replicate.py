"""Replicate's API: predictions, whose output is an address, and whose error is a sentence."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, bearer, document

_VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
_TOP = ("input", "version", "webhook", "webhook_events_filter", "stream")
# The options of one model, as in its schema.
_INPUT = {
    "prompt": str,
    "seed": int,
    "aspect_ratio": str,
    "num_inference_steps": int,
    "guidance": float,
    "output_format": str,
    "output_quality": int,
    "megapixels": str,
    "go_fast": bool,
    "disable_safety_checker": bool,
}


def _error(status: int, title: str, detail: str) -> dict[str, Any]:
    return {"title": title, "detail": detail, "status": status}


ERRORS = {
    WRONG_KEY: ErrorReply(401, _error(401, "Unauthenticated", "You did not pass a valid authentication token")),
    Scenario.RATE_LIMITED: ErrorReply(
        429, {"detail": "Request was throttled. Your rate limit resets in ~{seconds}s.", "status": 429}
    ),
    Scenario.QUOTA: ErrorReply(
        402, _error(402, "Insufficient credit", "You have insufficient credit to run this model.")
    ),
    Scenario.SERVER_ERROR: ErrorReply(500, _error(500, "Internal server error", "Something went wrong.")),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    inputs: dict[str, dict[str, Any]] = {}
    models: dict[str, str] = {}

    def prediction(request: Request, order: PlacedOrder) -> dict[str, Any]:
        ended = order.ready or order.scenario is Scenario.REFUSED_PROMPT
        failed = ended and order.scenario in (Scenario.REFUSED_OUTPUT, Scenario.REFUSED_PROMPT)
        status = "failed" if failed else "succeeded" if ended else "processing"
        words = "NSFW content detected. Try running it again, or try a different prompt."
        here = f"{str(request.base_url).rstrip('/')}/{stub.name}"
        now = datetime.now(UTC).isoformat()
        return {
            "id": order.id,
            "model": models[order.id],
            "version": _VERSION,
            "input": inputs[order.id],
            "logs": "",
            "output": [f"{here}/pbxt/{order.id}/out-0.png"] if status == "succeeded" else None,
            "data_removed": False,
            "error": words if failed else None,
            "status": status,
            "metrics": {"predict_time": 1.5} if ended else {},
            "created_at": now,
            "started_at": now,
            "completed_at": now if ended else None,
            "urls": {
                "get": stub.address(request, order, f"{stub.name}/v1/predictions/{order.id}"),
                "cancel": f"{here}/v1/predictions/{order.id}/cancel",
            },
        }

    async def create(request: Request, model: str, versioned: bool) -> JSONResponse:
        body = await document(request) or {}
        _check(body, versioned)
        order = stub.submit(bearer(request), body["input"]["prompt"], body["input"].get("seed"))
        inputs[order.id], models[order.id] = body["input"], model
        return JSONResponse({**prediction(request, order), "status": "starting", "output": None}, 201)

    @router.get("/pbxt/{task}/out-0.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.post("/v1/models/{owner}/{name}/predictions")
    async def of_model(request: Request, owner: str, name: str) -> JSONResponse:
        return await create(request, f"{owner}/{name}", versioned=False)

    @router.post("/v1/predictions")
    async def of_version(request: Request) -> JSONResponse:
        return await create(request, "owner/name", versioned=True)

    @router.get("/v1/predictions/{task}")
    def poll(request: Request, task: str) -> dict[str, Any]:
        order = stub.task(bearer(request), task)
        if order is None:
            raise StubResponse(
                JSONResponse(_error(404, "Not found", "The requested resource could not be found."), 404)
            )
        return prediction(request, order)

    return router


def _check(body: dict[str, Any], versioned: bool) -> None:
    given = body.get("input")
    wrong = [f"- {name}: unknown" for name in body if name not in _TOP]
    if versioned != ("version" in body):
        wrong.append("- version: is for predictions that name no model")
    if not isinstance(given, dict) or not given.get("prompt"):
        wrong.append("- input.prompt: prompt is required")
    else:
        wrong += [f"- input.{name}: not valid" for name, value in given.items() if type(value) is not _INPUT.get(name)]
    if wrong:
        raise StubResponse(JSONResponse(_error(422, "Input validation failed", "\n".join(wrong)), 422))
