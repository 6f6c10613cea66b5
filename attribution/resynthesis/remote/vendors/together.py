"""Together: OpenAI's images API with its own fields. Images are requested as base64, so no address can expire.

It serves third-party models. Its refusals are not documented: an error that mentions unsafe content counts as a refused
prompt, and an image that its safety checker blackens as a refused output.
"""

import re

from attribution.errors import PromptRefused, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, items, required_text, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_UNSAFE = re.compile(r"nsfw|safety|moderat|content.polic", re.IGNORECASE)


class Together(Vendor):
    """`POST /images/generations`, a synchronous request."""

    name = "Together"
    base_url = "https://api.together.ai/v1"
    key = "together"
    options = option_types(
        width=int,
        height=int,
        steps=int,
        guidance_scale=float,
        negative_prompt=str,
        output_format=str,
        disable_safety_checker=bool,
    )
    max_seed = 2**31 - 1  # no limit is documented; all models accept this
    message_paths = ("error.message",)

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image."""
        return Request.json(
            "images/generations",
            {
                "model": self.model,
                "prompt": image_request.prompt,
                "n": 1,
                "response_format": "base64",
                "seed": image_request.seed,
            }
            | self.parameters,
        )

    def parse_response(self, response: HttpResponse) -> Reply:
        """The image as base64, or its address if the model supports only that. The seed is not repeated."""
        return [
            VendorImage(from_base64(encoded) if (encoded := text(each, "b64_json")) else required_text(each, "url"))
            for each in items(response.document(), "data")
        ]

    def failure(self, response: HttpResponse) -> SourceError | None:
        """A rejected request whose error mentions unsafe content is a refused prompt."""
        document = response.document_or_none()
        message = " ".join(text(document, path) or "" for path in ("error.code", "error.type", "error.message"))
        if response.status in (400, 403, 422) and _UNSAFE.search(message):
            return PromptRefused(self.sentence(PromptRefused))
        return None
