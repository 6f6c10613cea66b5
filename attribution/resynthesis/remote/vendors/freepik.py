"""Freepik's Mystic and the other models it serves. The API has two names: Freepik, and Magnific since 2026.

The headers of both names are sent, so after the old address is gone a file only needs
`base_url = "https://api.magnific.com/v1"` with `key = "freepik"`. Of Mystic's options, `resolution`, `aspect_ratio`,
`model` and `filter_nsfw` were found in use; the others are not confirmed. The cause of a failed task is not documented:
a refused prompt cannot be distinguished from other failures.
"""

from attribution.errors import OutputRefused, SourceError
from attribution.resynthesis.remote.keys import Headers
from attribution.resynthesis.remote.response_fields import items, required_text, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    PollSchedule,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_LARGEST_SEED = 2**32 - 1


class Freepik(Vendor):
    """`POST /ai/mystic`, or `/ai/text-to-image/{model}`; then the task below the same path."""

    name = "Freepik"
    base_url = "https://api.freepik.com/v1"
    hosts = ("api.freepik.com", "api.magnific.com")
    scheme = Headers("x-freepik-api-key", "x-magnific-api-key")
    key = "freepik"
    options = option_types(
        resolution=str,
        aspect_ratio=str,
        model=str,
        engine=str,
        creative_detailing=int,
        fixed_generation=bool,
        filter_nsfw=bool,
        prompt_upsampling=bool,
        safety_tolerance=int,
        output_format=str,
        send_seed=bool,
    )
    polling = PollSchedule(first=1.0, longest=5.0)
    message_paths = ("message", "invalid_params.0.reason")
    default_retry_after = 5.0  # its response to too many requests is not documented

    @property
    def seed_limit(self) -> int | None:
        """Mystic takes none; other models do if `send_seed` is set."""
        return _LARGEST_SEED if self.parameters.get("send_seed") else None

    def submit_request(self, image_request: ImageRequest) -> Request:
        """Starts a task."""
        options = {name: value for name, value in self.parameters.items() if name != "send_seed"}
        return Request.json(self._path, {"prompt": image_request.prompt, "seed": image_request.seed, **options})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The first response and the polls have the same form, with one flag of the safety filter per image."""
        document = response.document()
        status = text(document, "data.status")
        if status == "COMPLETED":
            if any(flag is True for flag in items(document, "data.has_nsfw")):
                raise OutputRefused(self.sentence(OutputRefused))
            return [VendorImage(address) for address in items(document, "data.generated") if isinstance(address, str)]
        if status == "FAILED":
            raise SourceError("Freepik accepted the request, but could not generate the image.")
        return StillGenerating(required_text(document, "data.task_id"))

    def poll_request(self, task: str) -> Request:
        """The task is an id."""
        return Request.get(f"{self._path}/{task}")

    @property
    def _path(self) -> str:
        return "ai/mystic" if self.model == "mystic" else f"ai/text-to-image/{self.model}"
