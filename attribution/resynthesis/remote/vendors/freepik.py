"""Freepik's Mystic and the models it serves beside it. The API goes by two names: Freepik, and Magnific since 2026.

Both names' headers are sent, so that `base_url = "https://api.magnific.com/v1"` with `key = "freepik"` is all that a
file needs once the old address is gone. Of Mystic's options, `resolution`, `aspect_ratio`, `model` and `filter_nsfw`
were found in use; the others are from memory. Why a task failed is not documented: a refused prompt looks like any
other failure.
"""

from attribution.errors import OutputRefused, SourceError
from attribution.resynthesis.remote.keys import Headers
from attribution.resynthesis.remote.response_fields import items, needed, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    PollSchedule,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    taking,
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
    options = taking(
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
    message_at = ("message", "invalid_params.0.reason")
    pause_after_limit = 5.0  # what it says after too many requests is not documented

    @property
    def seed_limit(self) -> int | None:
        """Mystic takes none; models beside it do where `send_seed` says so."""
        return _LARGEST_SEED if self.given.get("send_seed") else None

    def order(self, wish: ImageRequest) -> Request:
        """A task."""
        options = {name: value for name, value in self.given.items() if name != "send_seed"}
        return Request.json(self._path, {"prompt": wish.prompt, "seed": wish.seed, **options})

    def read(self, answer: HttpResponse) -> Reply:
        """The first answer and the polls have one shape. A flag for each image says what the filter thought of it."""
        document = answer.document()
        status = text(document, "data.status")
        if status == "COMPLETED":
            if any(flag is True for flag in items(document, "data.has_nsfw")):
                raise OutputRefused(self.sentence(OutputRefused))
            return [VendorImage(address) for address in items(document, "data.generated") if isinstance(address, str)]
        if status == "FAILED":
            raise SourceError("Freepik took the order, and could not generate it.")
        return StillGenerating(needed(document, "data.task_id"))

    def ask(self, task: str) -> Request:
        """Tasks are names."""
        return Request.get(f"{self._path}/{task}")

    @property
    def _path(self) -> str:
        return "ai/mystic" if self.model == "mystic" else f"ai/text-to-image/{self.model}"


VENDOR = Freepik
