"""The resynthesis stage: calls one generator and never raises, so that a failing source does not fail the job.

The workers call it once per source; `method.py` calls it in a loop.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL.Image import Image

from attribution.errors import ConfigurationError, ImageError, OutputRefused, SourceError, SourceTimeout
from attribution.image import is_blank, load
from attribution.ports import (
    BY_CALLER,
    MOST_REFERENCES,
    BatchGenerator,
    Caption,
    Deadline,
    GeneratedImage,
    Generator,
    ModelRef,
    Origin,
    Resynthesis,
    SourceState,
)


class References:
    """Returns the same images for any number of seeds; their own seeds are unknown."""

    def __init__(self, source: str, images: Sequence[Image]) -> None:
        self.source = source
        # Not the catalog's revision: which revision generated the images is unknown.
        self.ref = ModelRef("reference", BY_CALLER)
        self._generated_images = tuple(GeneratedImage(image, None) for image in images)

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> tuple[GeneratedImage, ...]:
        """All of them."""
        return self._generated_images


def load_references(folder: Path) -> tuple[Image, ...]:
    """The 1 to 16 images of a folder in canonical form, by file name; hidden files are ignored.

    Raises ConfigurationError if there are fewer or more, ImageError that names a file which is not an image, and
    OSError.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    if not 1 <= len(files) <= MOST_REFERENCES:
        raise ConfigurationError(
            f"{folder} has {len(files)} files; 1 to {MOST_REFERENCES} images of a source are needed."
        )
    return tuple(map(_load, files))


def _load(file: Path) -> Image:
    try:
        return load(file).image
    except ImageError as error:
        raise type(error)(f"{file}: {error}") from error


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

    def produce() -> Sequence[GeneratedImage]:
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before it began to generate.")
        return generator.generate(caption.text, seeds, deadline)

    return _resynthesis(generator, caption.text, produce, started, on_error)


@dataclass(frozen=True, slots=True)
class ResynthesisRequest:
    """What one job wants of a source: the caption, a seed per image, and until when."""

    caption: Caption
    seeds: Sequence[int]
    deadline: Deadline


def resynthesize_together(
    generator: BatchGenerator,
    requests: Sequence[ResynthesisRequest],
    on_error: Callable[[Exception], None] | None = None,
) -> list[Resynthesis]:
    """What `resynthesize` gives for each request, generated in one batch.

    If the batch fails, each request is tried again alone, so that one which always fails does not fail the others. The
    batch ends at the last of the deadlines; a request whose own has passed by then gets the state `timeout`.
    """
    started = time.monotonic()
    generated: Sequence[GeneratedImage | None] | None = None
    if len(requests) > 1:
        prompts = [request.caption.text for request in requests for _ in request.seeds]
        until = max((request.deadline for request in requests), key=lambda deadline: deadline.at)
        try:
            generated = generator.generate_each(prompts, [*chain(*(request.seeds for request in requests))], until)
        except Exception:  # each is tried again alone, and then reports its own error
            generated = None
    if generated is None:
        return [
            resynthesize(generator, request.caption, request.seeds, request.deadline, on_error) for request in requests
        ]
    rows = iter(generated)
    return [
        _resynthesis(generator, request.caption.text, _in_time(request, [next(rows) for _ in request.seeds]), started)
        for request in requests
    ]


def _in_time(
    request: ResynthesisRequest, generated: Sequence[GeneratedImage | None]
) -> Callable[[], Sequence[GeneratedImage]]:
    def produce() -> Sequence[GeneratedImage]:
        if request.deadline.passed():
            raise SourceTimeout("The source was still generating when its time was over.")
        return [each for each in generated if each is not None]

    return produce


def _resynthesis(
    generator: Generator,
    prompt: str,
    produce: Callable[[], Sequence[GeneratedImage]],
    started: float,
    on_error: Callable[[Exception], None] | None = None,
) -> Resynthesis:
    """What `produce` returns or raises, as a result."""
    state = SourceState.DONE
    generated_images: tuple[GeneratedImage, ...] = ()
    reason: str | None = None
    try:
        generated_images = _without_blanks(produce())
        if isinstance(generator, RemarkingGenerator):
            reason = generator.remark(prompt)
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
