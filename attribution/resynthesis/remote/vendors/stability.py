"""Stability's v2beta: multipart in, base64 out. A filtered image comes with status 200 and looks like an image."""

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, meaning, taking
from attribution.resynthesis.remote.web import HttpResponse, Request


class Stability(Vendor):
    """`POST /v2beta/stable-image/generate/{route}`; of the routes, sd3 alone asks which model."""

    name = "Stability AI"
    base_url = "https://api.stability.ai/v2beta"
    key = "stability"
    options = taking(
        aspect_ratio=str,
        negative_prompt=str,
        style_preset=str,
        cfg_scale=float,
        output_format=str,
    )
    max_prompt = 10_000
    max_seed = 2**32 - 2
    words_at = ("name",)
    words = meaning({PromptRefused: ("content_moderation",), QuotaExhausted: ("payment_required",)})
    message_at = ("errors.0",)
    pause_after_limit = 60.0  # beyond 150 requests in ten seconds it answers nothing for a minute

    def order(self, wish: ImageRequest) -> Request:
        """`core` and `ultra` are routes of their own; what is called sd3.5-… is a model of the route sd3."""
        route = self.model if self.model in ("core", "ultra") else "sd3"
        fields = {
            "prompt": wish.prompt,
            "model": None if route == self.model else self.model,
            "seed": wish.seed,
            **self.given,
        }
        return Request.form(f"stable-image/generate/{route}", fields, {"accept": "application/json"})

    def read(self, answer: HttpResponse) -> Reply:
        """Only what finished with success is a generated image."""
        document = answer.document()
        finished = text(document, "finish_reason")
        if finished == "CONTENT_FILTERED":
            raise OutputRefused(self.sentence(OutputRefused))
        if finished != "SUCCESS":
            raise SourceError("Stability AI did not finish the generated image.")
        return [VendorImage(from_base64(needed(document, "image")), seed=number(document, "seed"))]


VENDOR = Stability
