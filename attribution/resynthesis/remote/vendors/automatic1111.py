"""A Stable Diffusion web UI compatible with AUTOMATIC1111: a self-hosted server that generates one image at a time.

If the server does not have the requested checkpoint, it reports no error and generates with the loaded one. Therefore
the checkpoint in the response is compared with the requested one, and an image of another checkpoint is rejected.
"""

import json
from pathlib import PureWindowsPath
from typing import Any

from attribution.errors import SourceError
from attribution.resynthesis.remote.keys import Basic
from attribution.resynthesis.remote.response_fields import from_base64, items, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_SUFFIXES = (".safetensors", ".ckpt", ".pt")


class Automatic1111(Vendor):
    """`POST /sdapi/v1/txt2img`, a synchronous request. The key, if any, is `user:password`."""

    name = "AUTOMATIC1111"
    scheme = Basic()
    options = option_types(
        steps=int,
        cfg_scale=float,
        width=int,
        height=int,
        sampler_name=str,
        scheduler=str,
        negative_prompt=str,
        clip_skip=int,
    )
    max_seed = 2**32 - 1
    message_paths = ("detail", "errors", "error", "detail.0.msg")

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image that the server does not store, with the catalog's checkpoint set for this request only."""
        given = dict(self.parameters)
        override: dict[str, Any] = {"sd_model_checkpoint": self.model}
        if "clip_skip" in given:
            override["CLIP_stop_at_last_layers"] = given.pop("clip_skip")
        return Request.json(
            "sdapi/v1/txt2img",
            {"prompt": image_request.prompt, "seed": image_request.seed, **given}
            | {"batch_size": 1, "n_iter": 1, "send_images": True, "save_images": False}
            | {"override_settings": override},
        )

    def parse_response(self, response: HttpResponse) -> Reply:
        """`info` is a string of JSON with the settings that were really used."""
        document = response.document()
        info = _info(text(document, "info"))
        checkpoint = text(info, "sd_model_name")
        if checkpoint is not None and _stem(checkpoint) != _stem(self.model):
            raise SourceError(
                "AUTOMATIC1111 generated with another checkpoint: it does not have the one that the catalog names."
            )
        seed, prompt = number(info, "seed"), text(info, "prompt")
        images = [each for each in items(document, "images") if isinstance(each, str)]
        return [VendorImage(from_base64(image), seed, prompt) for image in images]


def _info(value: str | None) -> Any:
    try:
        return json.loads(value or "null")
    except ValueError:
        return None


def _stem(checkpoint: str) -> str:
    """The file's stem: `SD/v1-5.safetensors [6ce0161689]` and `v1-5` are the same checkpoint."""
    name = PureWindowsPath(checkpoint.partition(" [")[0]).name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
