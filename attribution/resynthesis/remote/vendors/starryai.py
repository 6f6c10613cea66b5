"""starryai, as clients' code has it: there is no specification, so try it with `sources probe` before relying on it.

An order has a number, and its polls a status and a list of images. How it refuses, and what an empty account is told,
nobody says; an order that ends without an image counts as a refused output.
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
    taking,
)
from attribution.resynthesis.remote.web import HttpResponse, Request


class Starryai(Vendor):
    """`POST /creations/`, then `GET /creations/{id}`."""

    name = "starryai"
    base_url = "https://api.starryai.com"
    scheme = Header("X-API-Key")
    key = "starryai"
    options = taking(
        aspectRatio=str,
        highResolution=bool,
        steps=int,
        negativePrompt=str,
        initialImageMode=str,
    )
    max_seed = 2**31 - 1  # the range is not documented
    polling = PollSchedule(first=2.0, longest=5.0)
    message_at = ("message", "detail", "error")

    def order(self, wish: ImageRequest) -> Request:
        """One image."""
        body = {"prompt": wish.prompt, "model": self.model, "images": 1, "seed": wish.seed}
        return Request.json("creations/", {**body, **self.given})

    def read(self, answer: HttpResponse) -> Reply:
        """The order's number."""
        task = number(answer.document(), "id")
        if task is None:
            raise SourceError("The source's answer lacks id.")
        return StillGenerating(str(task))

    def ask(self, task: str) -> Request:
        """By its number."""
        return Request.get(f"creations/{quote(task, safe='')}")

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """Any status but these is one on the way."""
        document = answer.document()
        status = text(document, "status")
        if status == "failed":
            raise SourceError("starryai took the order, and could not generate it.")
        if status == "expired" or find(document, "expired") is True:
            raise SourceError("starryai no longer holds the generated image.")
        if status != "completed":
            return StillGenerating(task)
        addresses = [text(image, "url") for image in items(document, "images")]
        return [VendorImage(address, number(document, "seed")) for address in addresses if address is not None]


VENDOR = Starryai
