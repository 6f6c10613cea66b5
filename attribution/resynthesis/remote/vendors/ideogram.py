"""Ideogram 3.0 and 4.0. Its "magic prompt" rewrites captions, and is off here unless `magic_prompt` is true.

3.0 has a switch for it. 4.0 has none: it rewrites every prompt that is text and none that is structured, so the caption
is sent as a structured prompt that has nothing but the caption in it; of its members the documents that we have show
use, not which are needed. 4.0 takes no seed; that it tells one promises nothing. Images' addresses soon expire.
"""

import json

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_V4 = "ideogram-v4"
_SUMMARY = "high_level_description"


class Ideogram(Vendor):
    """`POST /{model}/generate`, a form, answered at once."""

    name = "Ideogram"
    base_url = "https://api.ideogram.ai/v1"
    scheme = Header("Api-Key")
    key = "ideogram"
    options = taking(
        magic_prompt=bool,
        resolution=str,
        aspect_ratio=str,
        rendering_speed=str,
        style_type=str,
        style_preset=str,
        negative_prompt=str,
    )
    message_at = ("message", "error", "detail")

    @property
    def seed_limit(self) -> int | None:
        """4.0 takes none."""
        return None if self.model == _V4 else 2**31 - 1

    def order(self, wish: ImageRequest) -> Request:
        """One image."""
        options = {name: value for name, value in self.given.items() if name != "magic_prompt"}
        magic = bool(self.given.get("magic_prompt"))
        if self.model == _V4:
            prompt = {"text_prompt": wish.prompt} if magic else {"json_prompt": _structured(wish.prompt)}
            return Request.form(f"{self.model}/generate", {**prompt, **options})
        fields = {"prompt": wish.prompt, "magic_prompt": "ON" if magic else "OFF", "num_images": 1, "seed": wish.seed}
        return Request.form(f"{self.model}/generate", {**fields, **options})

    def read(self, answer: HttpResponse) -> Reply:
        """An image that is not safe is listed without an address."""
        pictures = []
        for each in items(answer.document(), "data"):
            address = text(each, "url")
            if find(each, "is_image_safe") is False or address is None:
                raise OutputRefused(self.sentence(OutputRefused))
            seed = None if self.seed_limit is None else number(each, "seed")
            pictures.append(VendorImage(address, seed, _plain(text(each, "prompt"))))
        return pictures

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """Of all statuses this one alone is about safety, whatever the body says; a bad form has 400."""
        return PromptRefused(self.sentence(PromptRefused)) if answer.status == 422 else super().failure(answer)


def _structured(caption: str) -> str:
    composition = {"background": caption, "elements": []}
    return json.dumps({_SUMMARY: caption, "compositional_deconstruction": composition})


def _plain(prompt: str | None) -> str | None:
    """What was generated, which is the caption itself where it is told in the structure that we sent."""
    try:
        document = json.loads(prompt or "")
    except ValueError:
        return prompt
    caption = text(document, _SUMMARY)
    return caption if caption is not None and json.loads(_structured(caption)) == document else prompt


VENDOR = Ideogram
