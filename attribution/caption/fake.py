"""A captioner that needs no model: it names the image's mean colour. For tests of whole services."""

import os
import time
from dataclasses import dataclass

from PIL.Image import Image, Resampling

from attribution.errors import AttributionError
from attribution.ports import ModelRef

CRASH_CODE = 70
_USUAL = "a picture in"
_COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
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
class FakeCaptionerBehaviour:
    """Sleeps first; takes the process down where the caption has the word `crash_on`; fails if `fail`.

    `say` begins every caption, and tells one fake from another.
    """

    sleep_seconds: float = 0.0
    crash_on: str = ""
    fail: bool = False
    say: str = _USUAL


class FakeCaptioner:
    """The same image always gets the same sentence."""

    def __init__(self, behaviour: FakeCaptionerBehaviour | None = None) -> None:
        self._behaviour = behaviour or FakeCaptionerBehaviour()

    @property
    def ref(self) -> ModelRef:
        """By what it says."""
        said = self._behaviour.say
        return ModelRef("fake-captioner", "1" if said == _USUAL else said.replace(" ", "-"))

    def describe(self, image: Image) -> str:
        """ "a picture in <colour>", or what else it is to say, and the named colour nearest to the mean."""
        time.sleep(self._behaviour.sleep_seconds)
        pixel = image.convert("RGB").resize((1, 1), Resampling.BOX).tobytes()
        nearest = min(_COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(_COLOURS[name], pixel, strict=True)))
        caption = f"{self._behaviour.say} {nearest}"
        if self._behaviour.crash_on and self._behaviour.crash_on in caption:
            os._exit(CRASH_CODE)
        if self._behaviour.fail:
            raise AttributionError("The fake captioner failed, as it was asked to.")
        return caption
