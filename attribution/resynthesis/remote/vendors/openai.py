"""OpenAI images, and every server that speaks its API (`parameters.base_url`).

GPT image models answer with base64 alone and take no `response_format`; other servers may need one, may take seeds,
and may give addresses. The models have no switch for rewriting prompts; where one says that it did, that is recorded.
"""

from typing import ClassVar

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import from_base64, items, needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, meaning, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_LARGEST_SEED = 2**32 - 1


class OpenAi(Vendor):
    """`POST /images/generations`, answered at once."""

    name = "OpenAI"
    base_url: str | None = "https://api.openai.com/v1"
    key = "openai"
    options = taking(
        size=str,
        quality=str,
        background=str,
        moderation=str,
        output_format=str,
        response_format=str,
        send_seed=bool,
    )
    max_prompt = 32_000
    words_at: ClassVar[tuple[str, ...]] = ("error.code", "error.type")
    words = meaning(
        {
            PromptRefused: ("moderation_blocked", "content_policy_violation"),
            QuotaExhausted: ("insufficient_quota", "billing_hard_limit_reached"),
        }
    )
    message_at = ("error.message",)

    @property
    def seed_limit(self) -> int | None:
        """OpenAI takes no seeds; other servers do where `send_seed` says so."""
        return _LARGEST_SEED if self.given.get("send_seed") else None

    def order(self, wish: ImageRequest) -> Request:
        """One image of the model."""
        options = {name: value for name, value in self.given.items() if name != "send_seed"}
        return Request.json(
            "images/generations",
            {"model": self.model, "prompt": wish.prompt, "n": 1, **options}
            | {"seed": wish.seed, "safety_identifier": wish.safety_identifier},
        )

    def read(self, answer: HttpResponse) -> Reply:
        """Base64, or an address."""
        document = answer.document()
        return [
            VendorImage(
                from_base64(encoded) if (encoded := text(each, "b64_json")) else needed(each, "url"),
                seed=number(each, "seed"),
                prompt=text(each, "revised_prompt"),
            )
            for each in items(document, "data")
        ]

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """The moderation looks at the prompt and at the image, and says at which it balked."""
        error = super().failure(answer)
        if isinstance(error, PromptRefused):
            stage = text(answer.document_or_none(), "error.moderation_details.moderation_stage")
            if stage == "output":
                return OutputRefused(self.sentence(OutputRefused))
        return error


VENDOR = OpenAi
