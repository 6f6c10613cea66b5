"""Leonardo: an order, polls, and images with a flag of their own. It serves others' models too, so `model` is an id.

Its expansion of prompts is switched off, and images are kept out of the community's feed. How it tells that a prompt
is refused or that tokens are used up is not documented: both are read from its sentences.
"""

import re
from urllib.parse import quote

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.response_fields import find, items, needed, number, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    PollSchedule,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    meaning,
    taking,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_REFUSED = re.compile(r"moderat|nsfw|inappropriate|flagged|content policy", re.IGNORECASE)
_USED_UP = re.compile(r"not enough .*(token|credit)|insufficient .*(token|credit)", re.IGNORECASE)


class Leonardo(Vendor):
    """`POST /generations`, then `GET /generations/{id}`."""

    name = "Leonardo"
    base_url = "https://cloud.leonardo.ai/api/rest/v1"
    key = "leonardo"
    options = taking(
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
    max_seed = 2_147_483_637  # Flux takes no more; others would
    polling = PollSchedule(first=2.0, longest=5.0)
    words_at = ("code",)
    words = meaning({KeyRefused: ("access-denied",)})
    message_at = ("error",)

    def order(self, wish: ImageRequest) -> Request:
        """One image."""
        body = {
            "prompt": wish.prompt,
            "modelId": self.model,
            "num_images": 1,
            "seed": wish.seed,
            "enhancePrompt": False,
            "public": False,
        }
        return Request.json("generations", {**body, **self.given})

    def read(self, answer: HttpResponse) -> Reply:
        """The order's id."""
        return StillGenerating(needed(answer.document(), "sdGenerationJob.generationId"))

    def ask(self, task: str) -> Request:
        """By its id."""
        return Request.get(f"generations/{quote(task, safe='')}")

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """An order that it does not know yet is pending; an image that it flags is not safe to take for a generated image."""
        generation = find(answer.document(), "generations_by_pk")
        status = text(generation, "status")
        if status == "FAILED":
            raise SourceError("Leonardo took the order, and could not generate it.")
        if status != "COMPLETE":
            return StillGenerating(task)
        images = items(generation, "generated_images")
        if any(find(image, "nsfw") is True for image in images):
            raise OutputRefused(self.sentence(OutputRefused))
        seed, prompt = number(generation, "seed"), text(generation, "prompt")
        return [VendorImage(needed(image, "url"), seed, prompt) for image in images]

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """Refusals and empty accounts come with the statuses of bad requests."""
        said = text(answer.document_or_none(), "error") or ""
        if answer.status in (400, 402, 403, 422):
            if _USED_UP.search(said):
                return QuotaExhausted(self.sentence(QuotaExhausted))
            if _REFUSED.search(said):
                return PromptRefused(self.sentence(PromptRefused))
        return super().failure(answer)


VENDOR = Leonardo
