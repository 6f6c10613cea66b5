"""Replicate: a prediction, the address to poll that it names, outputs at addresses that expire within the hour.

It serves others' models. `model` is `owner/name` for those that Replicate keeps up itself, and `owner/name:version` for
all others, which pins the weights, too. What is said when a filter balks is the model's own sentence and differs from
model to model; which of prompt and image it was can not be told from it, so it counts as generated.
"""

import re

from attribution.errors import OutputRefused, RateLimited, SourceError
from attribution.resynthesis.remote.response_fields import find, items, needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, StillGenerating, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_FILTERED = re.compile(r"nsfw|flagged|sensitive|safety|moderat|content polic|\bE005\b", re.IGNORECASE)
_RESETS = re.compile(r"resets in ~?(\d{1,6})s")


class Replicate(Vendor):
    """`POST /models/{owner}/{name}/predictions`, or `/predictions` with a version; then `urls.get`."""

    name = "Replicate"
    base_url = "https://api.replicate.com/v1"
    hosts = ("api.replicate.com",)
    key = "replicate"
    # Models take different ones, and name the unknown in their error.
    options = taking(
        aspect_ratio=str,
        width=int,
        height=int,
        megapixels=str,
        resolution=str,
        num_inference_steps=int,
        steps=int,
        guidance=float,
        guidance_scale=float,
        cfg=float,
        scheduler=str,
        negative_prompt=str,
        output_format=str,
        output_quality=int,
        go_fast=bool,
        prompt_upsampling=bool,
        safety_tolerance=int,
        disable_safety_checker=bool,
    )
    max_seed = 2**31 - 1  # models differ; this is what all take
    message_at = ("detail", "title")

    def order(self, wish: ImageRequest) -> Request:
        """`Prefer: wait` stays unsaid: the prediction's name must be stored before its generated image is waited for."""
        wanted = {"prompt": wish.prompt, "seed": wish.seed, **self.given}
        generated = {"input": {name: value for name, value in wanted.items() if value is not None}}
        model, _, version = self.model.partition(":")
        if version:
            return Request.json("predictions", {"version": version, **generated})
        return Request.json(f"models/{model}/predictions", generated)

    def read(self, answer: HttpResponse) -> Reply:
        """One address or a list of them, by model; the input is repeated, and with it the seed."""
        document = answer.document()
        status = text(document, "status")
        if status == "succeeded":
            output = find(document, "output")
            addresses = [output] if isinstance(output, str) else items(document, "output")
            seed = number(document, "input.seed")
            return [VendorImage(address, seed) for address in addresses if isinstance(address, str)]
        if status == "failed":
            if _FILTERED.search(text(document, "error") or ""):
                raise OutputRefused(self.sentence(OutputRefused))
            raise SourceError("Replicate took the order, and the model failed.")
        if status in ("canceled", "aborted"):
            raise SourceError("Replicate took the order, and somebody canceled it.")
        return StillGenerating(needed(document, "urls.get"))

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """How long a limit lasts is said in a sentence."""
        found = _RESETS.search(text(answer.document_or_none(), "detail") or "")
        if answer.status == 429 and found is not None:
            return RateLimited(self.sentence(RateLimited), float(found[1]))
        return None


VENDOR = Replicate
