"""A captioner that needs no model: it names the image's mean color. For tests of whole services."""

import os
import time
from dataclasses import dataclass

from PIL.Image import Image, Resampling

from attribution.errors import AttributionError
from attribution.ports import ModelRef

CRASH_CODE = 70
_DEFAULT = "an image in"
_COLORS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "gray": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "orange": (240, 140, 30),
    "purple": (130, 50, 170),
    "magenta": (255, 0, 255),
    "cyan": (0, 220, 220),
    "brown": (120, 80, 40),
}


@dataclass(frozen=True, slots=True)
class FakeCaptionerBehavior:
    """Sleeps first; takes the process down where the caption has the word `crash_on`; fails if `fail`.

    `say` begins every caption, and tells one fake from another.
    """

    sleep_seconds: float = 0.0
    crash_on: str = ""
    fail: bool = False
    say: str = _DEFAULT


class FakeCaptioner:
    """The same image always gets the same sentence."""

    def __init__(self, behavior: FakeCaptionerBehavior | None = None) -> None:
        self._behavior = behavior or FakeCaptionerBehavior()

    @property
    def ref(self) -> ModelRef:
        """By what it says."""
        said = self._behavior.say
        return ModelRef("fake-captioner", "1" if said == _DEFAULT else said.replace(" ", "-"))

    def describe(self, image: Image) -> str:
        """ "an image in <color>", or what else it is to say, and the named color nearest to the mean."""
        time.sleep(self._behavior.sleep_seconds)
        pixel = image.convert("RGB").resize((1, 1), Resampling.BOX).tobytes()
        nearest = min(_COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(_COLORS[name], pixel, strict=True)))
        caption = f"{self._behavior.say} {nearest}"
        if self._behavior.crash_on and self._behavior.crash_on in caption:
            os._exit(CRASH_CODE)
        if self._behavior.fail:
            raise AttributionError("The fake captioner failed, as it was asked to.")
        return caption
