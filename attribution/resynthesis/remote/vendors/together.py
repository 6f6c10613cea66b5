"""Together: the shape of OpenAI's images API with its own fields. Images come as base64, so no address can expire.

It serves others' models. How it words a refusal is not documented: an error that speaks of unsafe content counts as a
refused prompt, and what its safety checker blackens as a refused output.
"""

import re

from attribution.errors import PromptRefused, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, items, needed, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_UNSAFE = re.compile(r"nsfw|safety|moderat|content.polic", re.IGNORECASE)


class Together(Vendor):
    """`POST /images/generations`, answered at once."""

    name = "Together"
    base_url = "https://api.together.ai/v1"
    key = "together"
    options = taking(
        width=int,
        height=int,
        steps=int,
        guidance_scale=float,
        negative_prompt=str,
        output_format=str,
        disable_safety_checker=bool,
    )
    max_seed = 2**31 - 1  # no limit is documented; this is what all models take
    message_at = ("error.message",)

    def order(self, wish: ImageRequest) -> Request:
        """One image."""
        return Request.json(
            "images/generations",
            {"model": self.model, "prompt": wish.prompt, "n": 1, "response_format": "base64", "seed": wish.seed}
            | self.given,
        )

    def read(self, answer: HttpResponse) -> Reply:
        """Base64; an address from a model that knows nothing else. The seed is not repeated."""
        return [
            VendorImage(from_base64(encoded) if (encoded := text(each, "b64_json")) else needed(each, "url"))
            for each in items(answer.document(), "data")
        ]

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """Of what it will not take, that which it says is unsafe."""
        document = answer.document_or_none()
        said = " ".join(text(document, path) or "" for path in ("error.code", "error.type", "error.message"))
        if answer.status in (400, 403, 422) and _UNSAFE.search(said):
            return PromptRefused(self.sentence(PromptRefused))
        return None


VENDOR = Together
