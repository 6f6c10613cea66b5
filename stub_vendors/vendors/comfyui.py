"""ComfyUI's server: validates a graph, queues it, keeps its history, serves files. Caption and seed are found by
following the graph's links, as the nodes themselves would."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, PlacedOrder, StubResponse, VendorStub, bearer, document

_CHECKPOINTS = ("sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors")
_TOP = ("prompt", "client_id", "extra_data", "front", "number", "prompt_id")
# The inputs of each node; for links, the kind of the linked node.
_NODES: dict[str, dict[str, type | str]] = {
    "CheckpointLoaderSimple": {"ckpt_name": str},
    "CLIPTextEncode": {"text": str, "clip": "CheckpointLoaderSimple"},
    "EmptyLatentImage": {"width": int, "height": int, "batch_size": int},
    "KSampler": {
        "seed": int,
        "steps": int,
        "cfg": float,
        "sampler_name": str,
        "scheduler": str,
        "denoise": float,
        "model": "CheckpointLoaderSimple",
        "positive": "CLIPTextEncode",
        "negative": "CLIPTextEncode",
        "latent_image": "EmptyLatentImage",
    },
    "VAEDecode": {"samples": "KSampler", "vae": "CheckpointLoaderSimple"},
    "PreviewImage": {"images": "VAEDecode"},
    "SaveImage": {"images": "VAEDecode", "filename_prefix": str},
}
_ENDS = {"PreviewImage": "temp", "SaveImage": "output"}

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"error": "the proxy requires another key"}),
    Scenario.SERVER_ERROR: ErrorReply(500, {"error": "internal error"}),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()
    ends: dict[str, tuple[str, str]] = {}  # of a prompt: the node with the image, and the folder's kind

    @router.post("/prompt")
    async def submit(request: Request) -> dict[str, Any]:
        body = await document(request) or {}
        for name in body:
            if name not in _TOP:
                raise _refused("invalid_prompt", f"{name} is unknown")
        end, prompt, seed = _understood(body.get("prompt"))
        order = stub.submit(_key(request, stub), prompt, seed)
        ends[order.id] = (end, _ENDS[body["prompt"][end]["class_type"]])
        return {"prompt_id": order.id, "number": len(ends), "node_errors": {}}

    @router.get("/history/{task}")
    def history(request: Request, task: str) -> dict[str, Any]:
        order = stub.task(_key(request, stub), task)
        if order is None or not order.ready:
            return {}
        node, kind = ends[task]
        file = {"filename": f"{task}.png", "subfolder": "", "type": kind}
        status = {"status_str": "success", "completed": True, "messages": []}
        return {task: {"prompt": [], "outputs": {node: {"images": [file]}}, "status": status, "meta": {}}}

    @router.get("/view")
    def view(request: Request, filename: str, type: str = "output", subfolder: str = "") -> Response:  # noqa: A002 - its name
        stub.ledger.downloads += 1
        stub.check(_key(request, stub))
        task = filename.removesuffix(".png")
        order: PlacedOrder | None = stub.orders.get(task)
        if order is None or order.scenario is Scenario.EXPIRED or ends[task][1] != type or subfolder:
            return Response(status_code=404)
        return Response(stub.image(order), media_type="image/png")

    return router


def _key(request: Request, stub: VendorStub) -> str | None:
    """ComfyUI has no keys; a proxy in front of it may require one."""
    return bearer(request) if "authorization" in request.headers else stub.key


def _understood(graph: Any) -> tuple[str, str, int]:
    """The node with the image, the caption and the seed. Raises StubResponse."""
    if not isinstance(graph, dict) or not graph:
        raise _refused("no_prompt", "No prompt provided")
    for name, node in graph.items():
        if (
            not isinstance(node, dict)
            or node.get("class_type") not in _NODES
            or not isinstance(node.get("inputs"), dict)
        ):
            raise _refused("invalid_prompt", f"Node {name} has no class that is known")
        for given, wanted in _NODES[node["class_type"]].items():
            if not _fits(graph, node["inputs"].get(given), wanted):
                raise _refused("prompt_outputs_failed_validation", f"{given} of node {name} is not valid")
    found = [name for name, node in graph.items() if node["class_type"] in _ENDS]
    if not found:
        raise _refused("prompt_no_outputs", "Prompt has no outputs")
    sampler = _at(graph, _at(graph, graph[found[0]]["inputs"]["images"])["samples"])
    if _at(graph, sampler["model"])["ckpt_name"] not in _CHECKPOINTS:
        raise _refused("prompt_outputs_failed_validation", "Value not in list: ckpt_name")
    return found[0], _at(graph, sampler["positive"])["text"], sampler["seed"]


def _fits(graph: dict[str, Any], value: Any, wanted: type | str) -> bool:
    if not isinstance(wanted, str):
        return type(value) is wanted
    linked = isinstance(value, list) and len(value) == 2 and value[0] in graph
    return linked and graph[value[0]]["class_type"] == wanted


def _at(graph: dict[str, Any], link: list[Any]) -> dict[str, Any]:
    inputs: dict[str, Any] = graph[link[0]]["inputs"]
    return inputs


def _refused(kind: str, message: str) -> StubResponse:
    error = {"type": kind, "message": message, "details": "", "extra_info": {}}
    return StubResponse(JSONResponse({"error": error, "node_errors": {}}, 400))
