"""A generator that needs no model: for tests of whole services, shows of failure, and measuring overhead.

It generates colored blocks. The palette follows from the source, the caption shifts it a little, the seed places
the blocks: so a generated image lies nearer to others of its source than to anybody else's, as with real ones.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
from PIL import Image

from attribution.errors import PromptRefused, SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline, GeneratedImage, ModelRef
from attribution.resynthesis.fit import fit

CRASH_CODE = 70
_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class FakeBehavior:
    """What a catalog entry may ask of a fake.

    `sleep_seconds` before generating, seen through to the deadline only; `hang` until killed, whatever the
    deadline; `fail` one of error, refused_prompt, unavailable, black; `crash` takes the process down,
    `crash_on` only for captions with that word; `flaky` fails so many times before it works; `size` is the
    side in pixels.
    """

    sleep_seconds: float = 0.0
    hang: bool = False
    fail: str = ""
    crash: bool = False
    crash_on: str = ""
    flaky: int = 0
    size: int = 64

    FAILURES: ClassVar[tuple[str, ...]] = ("", "error", "refused_prompt", "unavailable", "black")


class FakeGenerator:
    """Generates at once, the same blocks for the same question."""

    def __init__(
        self, source: str, ref: ModelRef, behavior: FakeBehavior | None = None, max_prompt: int | None = None
    ) -> None:
        self._source = source
        self._max_prompt = max_prompt
        self._ref = ref
        self._behavior = behavior or FakeBehavior()
        self._flaky_left = self._behavior.flaky

    @property
    def source(self) -> str:
        """The source's id in the catalog."""
        return self._source

    @property
    def ref(self) -> ModelRef:
        """What the catalog calls it."""
        return self._ref

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed, unless the behavior says otherwise."""
        self._misbehave(prompt)
        wait(self._behavior.sleep_seconds, deadline)
        if self._behavior.fail == "black":
            black = Image.new("RGB", (self._behavior.size, self._behavior.size))
            return [GeneratedImage(black, seed) for seed in seeds]
        generated = fit(prompt, self._max_prompt)
        return [
            GeneratedImage(self._blocks(generated, seed), seed, None if generated == prompt else generated)
            for seed in seeds
        ]

    def _misbehave(self, prompt: str) -> None:
        does = self._behavior
        if does.crash or (does.crash_on and does.crash_on in prompt):
            os._exit(CRASH_CODE)
        while does.hang:
            time.sleep(3600)
        if self._flaky_left > 0:
            self._flaky_left -= 1
            raise SourceUnavailable("The fake source is having a bad moment.")
        if does.fail == "refused_prompt":
            raise PromptRefused("The fake source will not generate this.")
        if does.fail == "unavailable":
            raise SourceUnavailable("The fake source cannot be reached.")
        if does.fail == "error":
            raise SourceError("The fake source failed.")

    def _blocks(self, prompt: str, seed: int) -> Image.Image:
        palette = _random(self._source).integers(0, 256, (4, 3))
        palette = np.clip(palette + _random(prompt).integers(-24, 25, (1, 3)), 0, 255)
        chosen = np.random.default_rng(seed).integers(0, len(palette), (_BLOCKS, _BLOCKS))
        blocks = Image.fromarray(palette[chosen].astype(np.uint8))
        return blocks.resize((self._behavior.size, self._behavior.size), Image.Resampling.NEAREST)


def wait(seconds: float, deadline: Deadline) -> None:
    """Sleep, but no longer than the deadline allows. Raises SourceTimeout where that cuts it short."""
    if seconds <= 0:
        return
    time.sleep(max(0.0, min(seconds, deadline.remaining())))
    if deadline.passed():
        raise SourceTimeout("The source was still generating when its time was over.")


def _random(text: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(sha256(text.encode()).digest()[:8], "big"))
