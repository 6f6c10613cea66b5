"""Black Forest Labs' API: submit, poll the address of the response, download the image."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, document

_KNOWN = {
    "prompt": str,
    "width": int,
    "height": int,
    "seed": int,
    "safety_tolerance": int,
    "output_format": str,
    "steps": int,
    "guidance": float,
    "prompt_upsampling": bool,
    "webhook_url": str,
    "webhook_secret": str,
}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"detail": "Not authenticated"}),
    Scenario.RATE_LIMITED: ErrorReply(429, {"detail": "Rate limit exceeded"}, {"retry-after": "{seconds}"}),
    Scenario.QUOTA: ErrorReply(402, {"detail": "Insufficient credits"}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"detail": "Internal server error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.get("/delivery/{task}.png")
    def deliver(request: Request, task: str) -> Response:
        return stub.download(request, task)

    @router.get("/v1/get_result")
    def poll(request: Request, task: Annotated[str, Query(alias="id")]) -> dict[str, Any]:
        order = stub.task(request.headers.get("x-key"), task)
        if order is None:
            return {"id": task, "status": "Task not found", "result": None}
        if order.scenario is Scenario.REFUSED_PROMPT:
            return {"id": task, "status": "Request Moderated", "result": None, "details": {"Moderation Reasons": ["x"]}}
        if not order.ready:
            return {"id": task, "status": "Pending", "result": None, "progress": 0.5}
        if order.scenario is Scenario.REFUSED_OUTPUT:
            return {"id": task, "status": "Content Moderated", "result": None}
        sample = stub.address(request, order, f"{stub.name}/delivery/{task}.png?se=2026-11-27T00%3A00%3A00Z&sig=x")
        return {
            "id": task,
            "status": "Ready",
            "result": {"sample": sample, "prompt": order.prompt, "seed": order.seed, "duration": 1.5},
        }

    @router.post("/v1/{model}")
    async def submit(request: Request, model: str) -> dict[str, Any]:
        body = await document(request) or {}
        wrong = [name for name, value in body.items() if type(value) is not _KNOWN.get(name)]
        if wrong or not body.get("prompt"):
            detail = [{"loc": ["body", *(wrong or ["prompt"])], "msg": "Field required or not valid", "type": "value"}]
            raise StubResponse(JSONResponse({"detail": detail}, 422))
        order = stub.submit(request.headers.get("x-key"), body["prompt"], body.get("seed"))
        return {
            "id": order.id,
            "polling_url": stub.address(request, order, f"{stub.name}/v1/get_result?id={order.id}"),
        }

    return router
