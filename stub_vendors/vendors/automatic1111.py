"""The web UI of AUTOMATIC1111: base64 images, `info` as a string of JSON, and the checkpoint that is loaded."""

import binascii
import json
from base64 import b64decode, b64encode

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from stub_vendors.scenario import Scenario
from stub_vendors.vendor_stub import WRONG_KEY, ErrorReply, StubResponse, VendorStub, authorization, document

_LOADED = "another-checkpoint"
_CHECKPOINTS = ("v1-5-pruned-emaonly.safetensors",)
_KNOWN = {
    "prompt": str,
    "negative_prompt": str,
    "seed": int,
    "steps": int,
    "cfg_scale": float,
    "width": int,
    "height": int,
    "sampler_name": str,
    "scheduler": str,
    "batch_size": int,
    "n_iter": int,
    "send_images": bool,
    "save_images": bool,
    "override_settings": dict,
    "force_task_id": str,
}
_SETTINGS = ("sd_model_checkpoint", "CLIP_stop_at_last_layers")

ERRORS = {
    WRONG_KEY: ErrorReply(401, {"detail": "Incorrect username or password"}),
    Scenario.SERVER_ERROR: ErrorReply(
        500, {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "no memory"}
    ),
}


def routes(stub: VendorStub) -> APIRouter:
    """The vendor's routes."""
    router = APIRouter()

    @router.post("/sdapi/v1/txt2img")
    async def generate(request: Request) -> JSONResponse:
        body = await document(request) or {}
        settings = body.get("override_settings", {})
        wrong = [name for name, value in body.items() if type(value) is not _KNOWN.get(name)]
        wrong += [name for name in settings if name not in _SETTINGS]
        if wrong:
            detail = [{"loc": ["body", name], "msg": "not valid", "type": "value_error"} for name in wrong]
            raise StubResponse(JSONResponse({"detail": detail}, 422))
        order = await stub.generate(request, _password(request, stub), body.get("prompt", ""), body.get("seed"))
        wished = settings.get("sd_model_checkpoint", "")
        used = wished.removesuffix(".safetensors") if wished in _CHECKPOINTS else _LOADED
        info = {"prompt": order.prompt, "seed": order.seed, "all_seeds": [order.seed], "sd_model_name": used}
        image = b64encode(stub.image(order)).decode()
        return JSONResponse({"images": [image], "parameters": body, "info": json.dumps(info)})

    return router


def _password(request: Request, stub: VendorStub) -> str | None:
    """User and password, which are optional."""
    if "authorization" not in request.headers:
        return stub.key
    try:
        return b64decode(authorization(request, "Basic") or "").decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
