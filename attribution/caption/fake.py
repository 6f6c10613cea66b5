"""A captioner without a model: it names the image's mean color. For tests of the whole service."""

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
    """Sleeps first; ends the process if the caption contains `crash_on`; fails if `fail`.

    Every caption begins with `prefix`, which distinguishes fake captioners.
    """

    sleep_seconds: float = 0.0
    crash_on: str = ""
    fail: bool = False
    prefix: str = _DEFAULT


class FakeCaptioner:
    """The same image always gets the same sentence."""

    def __init__(self, behavior: FakeCaptionerBehavior | None = None) -> None:
        self._behavior = behavior or FakeCaptionerBehavior()

    @property
    def ref(self) -> ModelRef:
        """Named by its prefix."""
        prefix = self._behavior.prefix
        return ModelRef("fake-captioner", "1" if prefix == _DEFAULT else prefix.replace(" ", "-"))

    def describe(self, image: Image) -> str:
        """The prefix, by default "an image in", and the named color nearest to the mean."""
        time.sleep(self._behavior.sleep_seconds)
        pixel = image.convert("RGB").resize((1, 1), Resampling.BOX).tobytes()
        nearest = min(_COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(_COLORS[name], pixel, strict=True)))
        caption = f"{self._behavior.prefix} {nearest}"
        if self._behavior.crash_on and self._behavior.crash_on in caption:
            os._exit(CRASH_CODE)
        if self._behavior.fail:
            raise AttributionError("The fake captioner failed, as configured.")
        return caption
