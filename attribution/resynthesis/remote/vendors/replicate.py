"""Replicate: a prediction, its polling address, and outputs at addresses that expire within the hour.

It serves third-party models. `model` is `owner/name` for models that Replicate maintains, and `owner/name:version` for
all others, which also pins the weights. The error of a safety filter is the model's own sentence and does not show
whether the prompt or the image was rejected, so it counts as generated.
"""

import re

from attribution.errors import OutputRefused, RateLimited, SourceError
from attribution.resynthesis.remote.response_fields import find, items, number, required_text, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_FILTERED = re.compile(r"nsfw|flagged|sensitive|safety|moderat|content polic|\bE005\b", re.IGNORECASE)
_RESETS = re.compile(r"resets in ~?(\d{1,6})s")


class Replicate(Vendor):
    """`POST /models/{owner}/{name}/predictions`, or `/predictions` with a version; then `urls.get`."""

    name = "Replicate"
    base_url = "https://api.replicate.com/v1"
    hosts = ("api.replicate.com",)
    key = "replicate"
    # Models take different options, and name unknown ones in their error.
    options = option_types(
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
    max_seed = 2**31 - 1  # models differ; all accept this
    message_paths = ("detail", "title")

    def submit_request(self, image_request: ImageRequest) -> Request:
        """Without `Prefer: wait`: the prediction's id must be stored before the wait for its image begins."""
        options = {"prompt": image_request.prompt, "seed": image_request.seed, **self.parameters}
        generated = {"input": {name: value for name, value in options.items() if value is not None}}
        model, _, version = self.model.partition(":")
        if version:
            return Request.json("predictions", {"version": version, **generated})
        return Request.json(f"models/{model}/predictions", generated)

    def parse_response(self, response: HttpResponse) -> Reply:
        """One address or a list of them, by model; the response repeats the input, including the seed."""
        document = response.document()
        status = text(document, "status")
        if status == "succeeded":
            output = find(document, "output")
            addresses = [output] if isinstance(output, str) else items(document, "output")
            seed = number(document, "input.seed")
            return [VendorImage(address, seed) for address in addresses if isinstance(address, str)]
        if status == "failed":
            if _FILTERED.search(text(document, "error") or ""):
                raise OutputRefused(self.sentence(OutputRefused))
            raise SourceError("Replicate accepted the request, but the model failed.")
        if status in ("canceled", "aborted"):
            raise SourceError("Replicate accepted the request, but it was canceled.")
        return StillGenerating(required_text(document, "urls.get"))

    def failure(self, response: HttpResponse) -> SourceError | None:
        """The duration of a rate limit is stated in the message."""
        found = _RESETS.search(text(response.document_or_none(), "detail") or "")
        if response.status == 429 and found is not None:
            return RateLimited(self.sentence(RateLimited), float(found[1]))
        return None
