"""fal's queue: a request, two addresses of it to follow (never to be built), and an image whose filter blackens it.

It serves others' models; `model` is the endpoint. Over the account's limit requests wait in the queue and are not
refused; its client waits after a 429 all the same, so there may be some. That `has_nsfw_concepts` is in the answer,
and `prompt` where it was expanded, is from general knowledge of its FLUX models, not from a document.
"""

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, StillGenerating, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_UNDER_WAY = ("IN_QUEUE", "IN_PROGRESS")


class Fal(Vendor):
    """`POST /{owner}/{app}/{path}`, then the status address, then the response address."""

    name = "fal"
    base_url = "https://queue.fal.run"
    hosts = ("fal.run", "falrun.com")  # the second stands in for the first
    scheme = Header("authorization", "Key {key}")
    key = "fal"
    options = taking(
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
    max_seed = 2**31 - 1  # no limit is documented; this is what all models take
    message_at = ("detail", "detail.0.msg")
    pause_after_limit = 5.0

    def order(self, wish: ImageRequest) -> Request:
        """Its own retries on other runners are left on: they are not billed."""
        return Request.json(self.model, {"prompt": wish.prompt, "seed": wish.seed, **self.given})

    def read(self, answer: HttpResponse) -> Reply:
        """The task is both addresses, so that whoever takes it up again builds neither."""
        document = answer.document()
        return StillGenerating(f"{needed(document, 'status_url')} {needed(document, 'response_url')}")

    def ask(self, task: str) -> Request:
        """The first address of the task: status and response, then the response alone."""
        return Request.get(task.split(" ")[0])

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """A status says only that something came of it; what, is at the response address, errors too."""
        document = answer.document()
        _, _, response = task.partition(" ")
        if response:
            status = text(document, "status")
            if status in _UNDER_WAY:
                return StillGenerating(task)
            if status != "COMPLETED":
                raise SourceError("fal answered with a status that is not known.")
            return StillGenerating(response, after=0.0)
        if any(flag is True for flag in items(document, "has_nsfw_concepts")):
            raise OutputRefused(self.sentence(OutputRefused))
        seed, prompt = number(document, "seed"), text(document, "prompt")
        return [VendorImage(needed(image, "url"), seed, prompt) for image in items(document, "images")]

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """An empty account is locked, with 403; what a checker flagged is where the error's `loc` points to."""
        document = answer.document_or_none()
        said = text(document, "detail") or ""
        if "exhausted balance" in said.lower():
            return QuotaExhausted(self.sentence(QuotaExhausted))
        for error in items(document, "detail"):
            if text(error, "type") == "content_policy_violation":
                prompt = "prompt" in items(error, "loc") or find(error, "loc") is None
                kind = PromptRefused if prompt else OutputRefused
                return kind(self.sentence(kind))
        return None


VENDOR = Fal
