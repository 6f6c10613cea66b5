"""Asks one generator for its generated images and never raises: a failing source must not sink a job.

The workers call this once per source; `method.py` calls it in a loop.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from attribution.errors import OutputRefused, SourceError, SourceTimeout
from attribution.ports import Caption, Deadline, GeneratedImage, Generator, Origin, Resynthesis, SourceState
from attribution.resynthesis.blank import is_blank
from attribution.resynthesis.references import References


@runtime_checkable
class Remarks(Protocol):
    """A generator that has something to say about a prompt it generated, such as words it could not read."""

    def remark(self, prompt: str) -> str | None:
        """A sentence, or None."""
        ...


def resynthesize(
    generator: Generator,
    caption: Caption,
    seeds: Sequence[int],
    deadline: Deadline,
    on_error: Callable[[Exception], None] | None = None,
) -> Resynthesis:
    """What the source made of the caption. Any state but `done` comes with its sentence and no generated images.

    `on_error` is told of exceptions nobody foresaw, so that a worker can log what the caller must not see.
    """
    started = time.monotonic()
    state = SourceState.DONE
    generated_images: tuple[GeneratedImage, ...] = ()
    reason: str | None = None
    try:
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before it began to draw.")
        generated_images = _without_blanks(generator.generate(caption.text, seeds, deadline))
        if isinstance(generator, Remarks):
            reason = generator.remark(caption.text)
    except SourceError as error:
        state, generated_images, reason = error.state, (), str(error)
    except Exception as error:
        state, generated_images, reason = SourceState.ERROR, (), "The source failed in a way nobody foresaw."
        if on_error is not None:
            on_error(error)
    seconds = time.monotonic() - started
    origin = Origin.REFERENCE if isinstance(generator, References) else Origin.GENERATOR
    return Resynthesis(generator.source, generator.ref.revision, state, generated_images, reason, seconds, origin)


def _without_blanks(generated_images: Sequence[GeneratedImage]) -> tuple[GeneratedImage, ...]:
    kept = tuple(generated_image for generated_image in generated_images if not is_blank(generated_image.image))
    if not kept:
        raise OutputRefused("Every generated image came back blank, as safety filters do it.")
    return kept
