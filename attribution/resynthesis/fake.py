"""A generator without a model: for tests of the whole service, demonstrations of failures, and measuring overhead.

It generates colored blocks. The palette is derived from the source, the caption shifts it a little, and the seed places
the blocks: so a generated image is nearer to others of its source than to those of other sources, as with real ones.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import numpy as np
from PIL import Image

from attribution.errors import PromptRefused, SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline, GeneratedImage, ModelRef
from attribution.resynthesis.inputs import fit_prompt

CRASH_CODE = 70
_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class FakeBehavior:
    """The parameters of a fake source.

    `sleep_seconds` before generating, at most until the deadline; `hang` until killed, whatever the deadline; `fail`
    always in one way, `fail_on` only for captions with that word; `crash` ends the process, `crash_on` only for such
    captions; `flaky` fails so many times before it works; `size` is the side in pixels; `batch` is how many images
    it generates at once.
    """

    sleep_seconds: float = 0.0
    hang: bool = False
    fail: Literal["", "error", "refused_prompt", "unavailable", "black"] = ""
    crash: bool = False
    crash_on: str = ""
    fail_on: str = ""
    flaky: int = 0
    size: int = 64
    batch: int = 8


class FakeGenerator:
    """Generates immediately, the same blocks for the same prompt and seed."""

    def __init__(
        self, source: str, ref: ModelRef, behavior: FakeBehavior | None = None, max_prompt: int | None = None
    ) -> None:
        self.source = source
        self._max_prompt = max_prompt
        self.ref = ref
        self._behavior = behavior or FakeBehavior()
        self._flaky_left = self._behavior.flaky

    @property
    def batch_size(self) -> int:
        """See `BatchGenerator`."""
        return self._behavior.batch

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per seed, unless the behavior is different."""
        return self.generate_each([prompt] * len(seeds), seeds, deadline)

    def generate_each(self, prompts: Sequence[str], seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """One generated image per prompt and its seed; the whole batch sleeps and fails once."""
        self._misbehave(prompts)
        wait(self._behavior.sleep_seconds, deadline)
        return [self._generated(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _generated(self, prompt: str, seed: int) -> GeneratedImage:
        if self._behavior.fail == "black":
            return GeneratedImage(Image.new("RGB", (self._behavior.size, self._behavior.size)), seed)
        generated = fit_prompt(prompt, self._max_prompt)
        return GeneratedImage(self._blocks(generated, seed), seed, None if generated == prompt else generated)

    def _misbehave(self, prompts: Sequence[str]) -> None:
        behavior = self._behavior
        if behavior.crash or (behavior.crash_on and any(behavior.crash_on in prompt for prompt in prompts)):
            os._exit(CRASH_CODE)
        if behavior.fail_on and any(behavior.fail_on in prompt for prompt in prompts):
            raise SourceError("The fake source failed on a word.")
        while behavior.hang:
            time.sleep(3600)
        if self._flaky_left > 0:
            self._flaky_left -= 1
            raise SourceUnavailable("The fake source is flaky and failed once.")
        if behavior.fail == "refused_prompt":
            raise PromptRefused("The fake source will not generate this.")
        if behavior.fail == "unavailable":
            raise SourceUnavailable("The fake source cannot be reached.")
        if behavior.fail == "error":
            raise SourceError("The fake source failed.")

    def _blocks(self, prompt: str, seed: int) -> Image.Image:
        palette = _random(self.source).integers(0, 256, (4, 3))
        palette = np.clip(palette + _random(prompt).integers(-24, 25, (1, 3)), 0, 255)
        chosen = np.random.default_rng(seed).integers(0, len(palette), (_BLOCKS, _BLOCKS))
        blocks = Image.fromarray(palette[chosen].astype(np.uint8))
        return blocks.resize((self._behavior.size, self._behavior.size), Image.Resampling.NEAREST)


def wait(seconds: float, deadline: Deadline) -> None:
    """Sleep, at most until the deadline. Raises SourceTimeout if the deadline passes."""
    if seconds <= 0:
        return
    time.sleep(max(0.0, min(seconds, deadline.remaining())))
    if deadline.passed():
        raise SourceTimeout("The source was still generating when its time was over.")


def _random(text: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(sha256(text.encode()).digest()[:8], "big"))
