"""Leonardo: a submission, polls, and images with a flag of their own. It also serves other vendors' models by id.

Prompt expansion is disabled, and images are kept out of the community feed. How a refused prompt or an empty account is
reported is not documented: both are recognized by the error message.
"""

import re
from urllib.parse import quote

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import find, items, number, required_text, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    PollSchedule,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    errors_by_code,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_REFUSED = re.compile(r"moderat|nsfw|inappropriate|flagged|content policy", re.IGNORECASE)
_EXHAUSTED = re.compile(r"not enough .*(token|credit)|insufficient .*(token|credit)", re.IGNORECASE)


class Leonardo(Vendor):
    """`POST /generations`, then `GET /generations/{id}`."""

    name = "Leonardo"
    base_url = "https://cloud.leonardo.ai/api/rest/v1"
    key = "leonardo"
    options = option_types(
        width=int,
        height=int,
        alchemy=bool,
        ultra=bool,
        contrast=float,
        contrastRatio=float,
        presetStyle=str,
        photoReal=bool,
        photoRealVersion=str,
        negative_prompt=str,
        guidance_scale=float,
        num_inference_steps=int,
        scheduler=str,
    )
    max_prompt = 1_500
    max_seed = 2_147_483_637  # the limit of Flux; other models have a higher one
    polling = PollSchedule(first=2.0, longest=5.0)
    error_code_paths = ("code",)
    error_codes = errors_by_code({KeyRefused: ("access-denied",)})
    message_paths = ("error",)

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image."""
        body = {
            "prompt": image_request.prompt,
            "modelId": self.model,
            "num_images": 1,
            "seed": image_request.seed,
            "enhancePrompt": False,
            "public": False,
        }
        return Request.json("generations", {**body, **self.parameters})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The generation's id."""
        return StillGenerating(required_text(response.document(), "sdGenerationJob.generationId"))

    def poll_request(self, task: str) -> Request:
        """By the generation's id."""
        return Request.get(f"generations/{quote(task, safe='')}")

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """An unknown generation is pending; a flagged image counts as a refused output."""
        generation = find(response.document(), "generations_by_pk")
        status = text(generation, "status")
        if status == "FAILED":
            raise SourceError("Leonardo accepted the request, but could not generate the image.")
        if status != "COMPLETE":
            return StillGenerating(task)
        images = items(generation, "generated_images")
        if any(find(image, "nsfw") is True for image in images):
            raise OutputRefused(self.sentence(OutputRefused))
        seed, prompt = number(generation, "seed"), text(generation, "prompt")
        return [VendorImage(required_text(image, "url"), seed, prompt) for image in images]

    def failure(self, response: HttpResponse) -> SourceError | None:
        """Refusals and empty accounts have the statuses of bad requests."""
        message = text(response.document_or_none(), "error") or ""
        if response.status in (400, 402, 403, 422):
            if _EXHAUSTED.search(message):
                return QuotaExhausted(self.sentence(QuotaExhausted))
            if _REFUSED.search(message):
                return PromptRefused(self.sentence(PromptRefused))
        return super().failure(response)
