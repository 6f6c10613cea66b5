"""OpenAI's image models, and every server with the same API (`parameters.base_url`).

GPT image models return base64 only and take no `response_format`; other servers may require one, may take seeds, and
may return addresses. Prompt rewriting cannot be disabled; a rewritten prompt that a response reports is recorded.
"""

from typing import ClassVar

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, items, number, required_text, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, errors_by_code, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_LARGEST_SEED = 2**32 - 1


class OpenAi(Vendor):
    """`POST /images/generations`, a synchronous request."""

    name = "OpenAI"
    base_url: str | None = "https://api.openai.com/v1"
    key = "openai"
    options = option_types(
        size=str,
        quality=str,
        background=str,
        moderation=str,
        output_format=str,
        response_format=str,
        send_seed=bool,
    )
    max_prompt = 32_000
    error_code_paths: ClassVar[tuple[str, ...]] = ("error.code", "error.type")
    error_codes = errors_by_code(
        {
            PromptRefused: ("moderation_blocked", "content_policy_violation"),
            QuotaExhausted: ("insufficient_quota", "billing_hard_limit_reached"),
        }
    )
    message_paths = ("error.message",)

    @property
    def seed_limit(self) -> int | None:
        """OpenAI takes no seeds; other servers do if `send_seed` is set."""
        return _LARGEST_SEED if self.parameters.get("send_seed") else None

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image of the model."""
        options = {name: value for name, value in self.parameters.items() if name != "send_seed"}
        return Request.json(
            "images/generations",
            {"model": self.model, "prompt": image_request.prompt, "n": 1, **options}
            | {"seed": image_request.seed, "safety_identifier": image_request.safety_identifier},
        )

    def parse_response(self, response: HttpResponse) -> Reply:
        """The image as base64, or its address."""
        document = response.document()
        return [
            VendorImage(
                from_base64(encoded) if (encoded := text(each, "b64_json")) else required_text(each, "url"),
                seed=number(each, "seed"),
                prompt=text(each, "revised_prompt"),
            )
            for each in items(document, "data")
        ]

    def failure(self, response: HttpResponse) -> SourceError | None:
        """Moderation checks the prompt and the image, and reports which of them it rejected."""
        error = super().failure(response)
        if isinstance(error, PromptRefused):
            stage = text(response.document_or_none(), "error.moderation_details.moderation_stage")
            if stage == "output":
                return OutputRefused(self.sentence(OutputRefused))
        return error
