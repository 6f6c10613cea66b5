"""Black Forest Labs' FLUX: a submission, an address to poll on a regional host, an image available for ten minutes."""

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import number, required_text, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request


class Bfl(Vendor):
    """`POST /{model}`, then the polling URL of the response."""

    name = "Black Forest Labs"
    base_url = "https://api.bfl.ai/v1"
    hosts = ("bfl.ai",)
    scheme = Header("x-key")
    key = "bfl"
    options = option_types(
        width=int,
        height=int,
        safety_tolerance=int,
        output_format=str,
        steps=int,
        guidance=float,
        prompt_upsampling=bool,
    )
    max_prompt = 32_000  # documented in tokens, of which a text has fewer than characters
    max_seed = 2**32 - 1
    message_paths = ("detail", "error", "detail.0.msg")

    def submit_request(self, image_request: ImageRequest) -> Request:
        """Set `prompt_upsampling = false` for models that support it; otherwise the response has the new prompt."""
        return Request.json(self.model, {"prompt": image_request.prompt, "seed": image_request.seed, **self.parameters})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The task is the polling URL, because only the regional host that it names knows the task."""
        return StillGenerating(required_text(response.document(), "polling_url"))

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """Both kinds of moderation are reported as the task's status."""
        document = response.document()
        status = text(document, "status")
        if status == "Ready":
            sample, seed = required_text(document, "result.sample"), number(document, "result.seed")
            return [VendorImage(sample, seed, text(document, "result.prompt"))]
        if status == "Request Moderated":
            raise PromptRefused(self.sentence(PromptRefused))
        if status == "Content Moderated":
            raise OutputRefused(self.sentence(OutputRefused))
        if status in ("Error", "Failed"):
            raise SourceError("Black Forest Labs accepted the request, but could not generate the image.")
        if status == "Task not found":
            raise SourceError("Black Forest Labs no longer knows the request that it accepted.")
        return StillGenerating(task)
