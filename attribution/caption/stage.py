"""Asks a captioner for its sentence and tidies it: line breaks and double blanks would only change seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category

from attribution.errors import AttributionError
from attribution.ports import Caption, Captioner

if TYPE_CHECKING:  # the API reads specifications of captioners, and no images
    from PIL.Image import Image

# Control characters, and halves of surrogate pairs: no prompt has them, and Postgres stores neither.
_UNSPEAKABLE = ("Cc", "Cs")


def describe(captioner: Captioner, image: Image) -> Caption:
    """The caption of one RGB image. Raises AttributionError where the captioner finds no words."""
    said = captioner.describe(image)
    text = " ".join("".join(" " if category(each) in _UNSPEAKABLE else each for each in said).split())
    if not text:
        raise AttributionError("The captioner found no words for this image; give a prompt instead.")
    return Caption(text, captioner.ref)
