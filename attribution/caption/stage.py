"""Asks a captioner for its sentence and tidies it: line breaks and double blanks would only change seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

from attribution.errors import AttributionError
from attribution.ports import BY_CALLER, Caption, Captioner, ModelRef

if TYPE_CHECKING:  # the API reads specifications of captioners, and no images
    from PIL.Image import Image

# Control characters, and halves of surrogate pairs: no prompt has them, and Postgres stores neither.
_UNSPEAKABLE = ("Cc", "Cs")

GIVEN = ModelRef("given", BY_CALLER)


def describe(captioner: Captioner, image: Image) -> Caption:
    """The caption of one RGB image. Raises AttributionError where the captioner finds no words."""
    said = captioner.describe(image)
    text = " ".join("".join(" " if category(each) in _UNSPEAKABLE else each for each in said).split())
    if not text:
        raise AttributionError("The captioner found no words for this image; give a prompt instead.")
    return Caption(text, captioner.ref)


class GivenCaptioner:
    """Says what it was told, whatever the image."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def ref(self) -> ModelRef:
        """Marks the caption as the caller's."""
        return GIVEN

    def describe(self, image: Image) -> str:
        """The caller's prompt."""
        return self._text
