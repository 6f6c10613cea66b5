"""Black Forest Labs' FLUX: an order, an address to poll on a regional host, an image that is there for ten minutes."""

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, StillGenerating, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request


class Bfl(Vendor):
    """`POST /{model}`, then the polling URL that it names."""

    name = "Black Forest Labs"
    base_url = "https://api.bfl.ai/v1"
    hosts = ("bfl.ai",)
    scheme = Header("x-key")
    key = "bfl"
    options = taking(
        width=int,
        height=int,
        safety_tolerance=int,
        output_format=str,
        steps=int,
        guidance=float,
        prompt_upsampling=bool,
    )
    max_prompt = 32_000  # it says tokens, of which there are fewer than characters
    max_seed = 2**32 - 1
    message_at = ("detail", "error", "detail.0.msg")

    def order(self, wish: ImageRequest) -> Request:
        """`prompt_upsampling = false` belongs into the files of models that know it; else `read_task` tells."""
        return Request.json(self.model, {"prompt": wish.prompt, "seed": wish.seed, **self.given})

    def read(self, answer: HttpResponse) -> Reply:
        """The task is the polling URL: regional hosts know nothing of each other's."""
        return StillGenerating(needed(answer.document(), "polling_url"))

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """Both kinds of moderation come as a status of the task."""
        document = answer.document()
        status = text(document, "status")
        if status == "Ready":
            sample, seed = needed(document, "result.sample"), number(document, "result.seed")
            return [VendorImage(sample, seed, text(document, "result.prompt"))]
        if status == "Request Moderated":
            raise PromptRefused(self.sentence(PromptRefused))
        if status == "Content Moderated":
            raise OutputRefused(self.sentence(OutputRefused))
        if status in ("Error", "Failed"):
            raise SourceError("Black Forest Labs took the order, and could not generate it.")
        if status == "Task not found":
            raise SourceError("Black Forest Labs does not know the order that it took.")
        return StillGenerating(task)


VENDOR = Bfl
