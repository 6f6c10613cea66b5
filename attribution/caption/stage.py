"""Asks a captioner for its sentence and tidies it: line breaks and double blanks would only change seeds."""

from PIL.Image import Image

from attribution.errors import AttributionError
from attribution.ports import Caption, Captioner


def describe(captioner: Captioner, image: Image) -> Caption:
    """The caption of one RGB image. Raises AttributionError where the captioner finds no words."""
    text = " ".join(captioner.describe(image).split())
    if not text:
        raise AttributionError("The captioner found no words for this image; give a prompt instead.")
    return Caption(text, captioner.ref)
