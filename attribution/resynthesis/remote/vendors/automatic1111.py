"""A Stable Diffusion web UI of AUTOMATIC1111's kind: a server of one's own that generates one image at a time.

A checkpoint that it does not have is no error to it: it goes on with the one that is loaded. So what it says that it
generated with is compared with what was asked for, and another checkpoint's generating is never handed on.
"""

import json
from pathlib import PureWindowsPath
from typing import Any

from attribution.errors import SourceError
from attribution.resynthesis.remote.keys import Basic
from attribution.resynthesis.remote.response_fields import from_base64, items, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_SUFFIXES = (".safetensors", ".ckpt", ".pt")


class Automatic1111(Vendor):
    """`POST /sdapi/v1/txt2img`, answered in its turn. The key is `user:password`, if there is one."""

    name = "AUTOMATIC1111"
    scheme = Basic()
    options = taking(
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
    message_at = ("detail", "errors", "error", "detail.0.msg")

    def order(self, wish: ImageRequest) -> Request:
        """One image that the server keeps no copy of, with the catalog's checkpoint, for this request alone."""
        given = dict(self.given)
        override: dict[str, Any] = {"sd_model_checkpoint": self.model}
        if "clip_skip" in given:
            override["CLIP_stop_at_last_layers"] = given.pop("clip_skip")
        return Request.json(
            "sdapi/v1/txt2img",
            {"prompt": wish.prompt, "seed": wish.seed, **given}
            | {"batch_size": 1, "n_iter": 1, "send_images": True, "save_images": False}
            | {"override_settings": override},
        )

    def read(self, answer: HttpResponse) -> Reply:
        """`info` is JSON in a text: what it really generated with."""
        document = answer.document()
        info = _info(text(document, "info"))
        checkpoint = text(info, "sd_model_name")
        if checkpoint is not None and _stem(checkpoint) != _stem(self.model):
            raise SourceError(
                "AUTOMATIC1111 generated with another checkpoint: it has none of the name in the catalog."
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
    """`SD/v1-5.safetensors [6ce0161689]` and `v1-5` name one file."""
    name = PureWindowsPath(checkpoint.partition(" [")[0]).name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


VENDOR = Automatic1111
