"""starryai, according to the code of its clients: there is no specification, so try it with `sources probe` first.

A submission has a number; its polls have a status and a list of images. Refusals and empty accounts are not documented;
a submission that ends without an image counts as a refused output.
"""

from urllib.parse import quote

from attribution.errors import SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, number, text
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


class Starryai(Vendor):
    """`POST /creations/`, then `GET /creations/{id}`."""

    name = "starryai"
    base_url = "https://api.starryai.com"
    scheme = Header("X-API-Key")
    key = "starryai"
    options = option_types(
        aspectRatio=str,
        highResolution=bool,
        steps=int,
        negativePrompt=str,
        initialImageMode=str,
    )
    max_seed = 2**31 - 1  # the range is not documented
    polling = PollSchedule(first=2.0, longest=5.0)
    message_paths = ("message", "detail", "error")

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image."""
        body = {"prompt": image_request.prompt, "model": self.model, "images": 1, "seed": image_request.seed}
        return Request.json("creations/", {**body, **self.parameters})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The submission's number."""
        task = number(response.document(), "id")
        if task is None:
            raise SourceError("The source's response lacks id.")
        return StillGenerating(str(task))

    def poll_request(self, task: str) -> Request:
        """By the submission's number."""
        return Request.get(f"creations/{quote(task, safe='')}")

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """Any other status means that it is unfinished."""
        document = response.document()
        status = text(document, "status")
        if status == "failed":
            raise SourceError("starryai accepted the request, but could not generate the image.")
        if status == "expired" or find(document, "expired") is True:
            raise SourceError("starryai no longer has the generated image.")
        if status != "completed":
            return StillGenerating(task)
        addresses = [text(image, "url") for image in items(document, "images")]
        return [VendorImage(address, number(document, "seed")) for address in addresses if address is not None]
