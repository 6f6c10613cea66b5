"""The captioning stage: calls a captioner and normalizes white space, which would otherwise change the seeds.

`GivenCaptioner` uses the caller's prompt: the papers' "natural prompt" setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

from attribution.errors import AttributionError
from attribution.ports import BY_CALLER, Caption, Captioner, ModelRef

if TYPE_CHECKING:  # the API imports the specifications of captioners without Pillow
    from PIL.Image import Image

# Control characters and surrogates do not belong in prompts, and Postgres cannot store them.
_REMOVED = ("Cc", "Cs")

GIVEN = ModelRef("given", BY_CALLER)


def describe(captioner: Captioner, image: Image) -> Caption:
    """The caption of one RGB image. Raises AttributionError if it is empty."""
    caption = captioner.describe(image)
    text = " ".join("".join(" " if category(each) in _REMOVED else each for each in caption).split())
    if not text:
        raise AttributionError("The captioner found no words for this image; give a prompt instead.")
    return Caption(text, captioner.ref)


class GivenCaptioner:
    """Returns the caller's prompt for any image."""

    ref = GIVEN

    def __init__(self, text: str) -> None:
        self._text = text

    def describe(self, image: Image) -> str:
        """The caller's prompt."""
        return self._text
