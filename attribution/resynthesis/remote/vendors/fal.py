"""fal's queue: a submission, then two addresses to poll, which are taken from the response and never built.

It serves third-party models; `model` is the endpoint. Requests over the account's limit wait in the queue; fal's own
client still handles a 429, so there may be some. The fields `has_nsfw_concepts`, and `prompt` for an expanded prompt,
are known from its FLUX models, not documented.
"""

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.keys import Header
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

_UNFINISHED = ("IN_QUEUE", "IN_PROGRESS")


class Fal(Vendor):
    """`POST /{owner}/{app}/{path}`, then the status address, then the response address."""

    name = "fal"
    base_url = "https://queue.fal.run"
    hosts = ("fal.run", "falrun.com")  # the second is a replacement for the first
    scheme = Header("authorization", "Key {key}")
    key = "fal"
    options = option_types(
        image_size=str,
        aspect_ratio=str,
        num_inference_steps=int,
        guidance_scale=float,
        negative_prompt=str,
        output_format=str,
        acceleration=str,
        expand_prompt=bool,
        enable_prompt_expansion=bool,
        enable_safety_checker=bool,
        safety_tolerance=str,
    )
    max_seed = 2**31 - 1  # no limit is documented; all models accept this
    message_paths = ("detail", "detail.0.msg")
    default_retry_after = 5.0

    def submit_request(self, image_request: ImageRequest) -> Request:
        """fal's own retries on other runners stay enabled: they are not billed."""
        return Request.json(self.model, {"prompt": image_request.prompt, "seed": image_request.seed, **self.parameters})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The task is both addresses, so that a resumed poll need not build them."""
        document = response.document()
        return StillGenerating(f"{required_text(document, 'status_url')} {required_text(document, 'response_url')}")

    def poll_request(self, task: str) -> Request:
        """The first address of the task: the status, later the response."""
        return Request.get(task.split(" ")[0])

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """A status only says that the request has ended; the result, or the error, is at the response address."""
        document = response.document()
        _, _, response_url = task.partition(" ")
        if response_url:
            status = text(document, "status")
            if status in _UNFINISHED:
                return StillGenerating(task)
            if status != "COMPLETED":
                raise SourceError("fal responded with an unknown status.")
            return StillGenerating(response_url, after=0.0)
        if any(flag is True for flag in items(document, "has_nsfw_concepts")):
            raise OutputRefused(self.sentence(OutputRefused))
        seed, prompt = number(document, "seed"), text(document, "prompt")
        return [VendorImage(required_text(image, "url"), seed, prompt) for image in items(document, "images")]

    def failure(self, response: HttpResponse) -> SourceError | None:
        """An empty account is a 403 with a message; `loc` in an error shows whether prompt or image was flagged."""
        document = response.document_or_none()
        message = text(document, "detail") or ""
        if "exhausted balance" in message.lower():
            return QuotaExhausted(self.sentence(QuotaExhausted))
        for error in items(document, "detail"):
            if text(error, "type") == "content_policy_violation":
                prompt = "prompt" in items(error, "loc") or find(error, "loc") is None
                kind = PromptRefused if prompt else OutputRefused
                return kind(self.sentence(kind))
        return None
