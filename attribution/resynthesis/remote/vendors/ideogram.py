"""Ideogram 3.0 and 4.0. Its "magic prompt" rewrites captions, and is off here unless `magic_prompt` is true.

3.0 has a switch for it. 4.0 has none: it rewrites every plain prompt and no structured one, so the caption is sent as a
structured prompt that contains only the caption; the documents show the use of its members, not which are required. 4.0
takes no seed, and the seed it reports does not repeat an image. Image addresses expire soon.
"""

import json

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_V4 = "ideogram-v4"
_SUMMARY = "high_level_description"


class Ideogram(Vendor):
    """`POST /{model}/generate`, a form, a synchronous request."""

    name = "Ideogram"
    base_url = "https://api.ideogram.ai/v1"
    scheme = Header("Api-Key")
    key = "ideogram"
    options = option_types(
        magic_prompt=bool,
        resolution=str,
        aspect_ratio=str,
        rendering_speed=str,
        style_type=str,
        style_preset=str,
        negative_prompt=str,
    )
    message_paths = ("message", "error", "detail")

    @property
    def seed_limit(self) -> int | None:
        """4.0 takes none."""
        return None if self.model == _V4 else 2**31 - 1

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image."""
        options = {name: value for name, value in self.parameters.items() if name != "magic_prompt"}
        magic = bool(self.parameters.get("magic_prompt"))
        if self.model == _V4:
            prompt = (
                {"text_prompt": image_request.prompt} if magic else {"json_prompt": _structured(image_request.prompt)}
            )
            return Request.form(f"{self.model}/generate", {**prompt, **options})
        fields = {
            "prompt": image_request.prompt,
            "magic_prompt": "ON" if magic else "OFF",
            "num_images": 1,
            "seed": image_request.seed,
        }
        return Request.form(f"{self.model}/generate", {**fields, **options})

    def parse_response(self, response: HttpResponse) -> Reply:
        """An unsafe image is listed without an address."""
        images = []
        for each in items(response.document(), "data"):
            address = text(each, "url")
            if find(each, "is_image_safe") is False or address is None:
                raise OutputRefused(self.sentence(OutputRefused))
            seed = None if self.seed_limit is None else number(each, "seed")
            images.append(VendorImage(address, seed, _plain(text(each, "prompt"))))
        return images

    def failure(self, response: HttpResponse) -> SourceError | None:
        """Status 422 means a safety refusal, whatever the body contains; an invalid form has 400."""
        return PromptRefused(self.sentence(PromptRefused)) if response.status == 422 else super().failure(response)


def _structured(caption: str) -> str:
    composition = {"background": caption, "elements": []}
    return json.dumps({_SUMMARY: caption, "compositional_deconstruction": composition})


def _plain(prompt: str | None) -> str | None:
    """The generated prompt: the caption itself if the response repeats the structure that was sent."""
    try:
        document = json.loads(prompt or "")
    except ValueError:
        return prompt
    caption = text(document, _SUMMARY)
    return caption if caption is not None and json.loads(_structured(caption)) == document else prompt
