"""Stability's v2beta: multipart requests, base64 responses. A filtered image has status 200 and looks like an image."""

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, number, required_text, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, errors_by_code, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request


class Stability(Vendor):
    """`POST /v2beta/stable-image/generate/{route}`; only the route sd3 takes a model."""

    name = "Stability AI"
    base_url = "https://api.stability.ai/v2beta"
    key = "stability"
    options = option_types(
        aspect_ratio=str,
        negative_prompt=str,
        style_preset=str,
        cfg_scale=float,
        output_format=str,
    )
    max_prompt = 10_000
    max_seed = 2**32 - 2
    error_code_paths = ("name",)
    error_codes = errors_by_code({PromptRefused: ("content_moderation",), QuotaExhausted: ("payment_required",)})
    message_paths = ("errors.0",)
    default_retry_after = 60.0  # over 150 requests in ten seconds it rejects all for a minute

    def submit_request(self, image_request: ImageRequest) -> Request:
        """`core` and `ultra` are routes; sd3.5-… are models of the route sd3."""
        route = self.model if self.model in ("core", "ultra") else "sd3"
        fields = {
            "prompt": image_request.prompt,
            "model": None if route == self.model else self.model,
            "seed": image_request.seed,
            **self.parameters,
        }
        return Request.form(f"stable-image/generate/{route}", fields, {"accept": "application/json"})

    def parse_response(self, response: HttpResponse) -> Reply:
        """Only a response with the finish reason SUCCESS has an image."""
        document = response.document()
        finished = text(document, "finish_reason")
        if finished == "CONTENT_FILTERED":
            raise OutputRefused(self.sentence(OutputRefused))
        if finished != "SUCCESS":
            raise SourceError("Stability AI did not finish the generated image.")
        return [VendorImage(from_base64(required_text(document, "image")), seed=number(document, "seed"))]
