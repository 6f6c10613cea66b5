"""The resynthesis stage: calls one generator and never raises, so that a failing source does not fail the job.

The workers call it once per source; `method.py` calls it in a loop.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from attribution.errors import OutputRefused, SourceError, SourceTimeout
from attribution.image import is_blank
from attribution.ports import Caption, Deadline, GeneratedImage, Generator, Origin, Resynthesis, SourceState
from attribution.resynthesis.references import References


@runtime_checkable
class RemarkingGenerator(Protocol):
    """A generator that reports how it changed a prompt, such as words that it omitted."""

    def remark(self, prompt: str) -> str | None:
        """A sentence, or None if the prompt is unchanged."""
        ...


def resynthesize(
    generator: Generator,
    caption: Caption,
    seeds: Sequence[int],
    deadline: Deadline,
    on_error: Callable[[Exception], None] | None = None,
) -> Resynthesis:
    """The source's images of the caption; any state but `done` has a sentence and no images.

    Args:
        generator: The source's generator, or `References`.
        caption: The text to generate.
        seeds: One per image.
        deadline: When to give up.
        on_error: Called with unexpected exceptions, so that a worker can log what the caller must not see.
    """
    started = time.monotonic()
    state = SourceState.DONE
    generated_images: tuple[GeneratedImage, ...] = ()
    reason: str | None = None
    try:
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before it began to generate.")
        generated_images = _without_blanks(generator.generate(caption.text, seeds, deadline))
        if isinstance(generator, RemarkingGenerator):
            reason = generator.remark(caption.text)
    except SourceError as error:
        state, generated_images, reason = error.state, (), str(error)
    except Exception as error:
        state, generated_images, reason = SourceState.ERROR, (), "The source failed unexpectedly."
        if on_error is not None:
            on_error(error)
    seconds = time.monotonic() - started
    origin = Origin.REFERENCE if isinstance(generator, References) else Origin.GENERATOR
    return Resynthesis(generator.source, generator.ref.revision, state, generated_images, reason, seconds, origin)


def _without_blanks(generated_images: Sequence[GeneratedImage]) -> tuple[GeneratedImage, ...]:
    kept = tuple(each for each in generated_images if not is_blank(each.image))
    if not kept:
        raise OutputRefused("Every generated image is blank, as safety filters return them.")
    return kept
