"""The resynthesis stage: whatever a source does becomes a state and a sentence."""

from collections.abc import Sequence

import pytest
from PIL import Image

from attribution import errors
from attribution.ports import Caption, Deadline, GeneratedImage, ModelRef, SourceState
from attribution.resynthesis import is_blank, resynthesize

REF = ModelRef("model", "1")
CAPTION = Caption("a red hat", REF)
IMAGE = Image.linear_gradient("L").convert("RGB")
BLACK = Image.new("RGB", (8, 8))


class Scripted:
    """Returns the given images, or raises the given error."""

    source = "scripted"
    ref = REF

    def __init__(self, outcome: Exception | Sequence[Image.Image]) -> None:
        self.outcome = outcome

    def generate(self, prompt: str, seeds: Sequence[int], deadline: Deadline) -> list[GeneratedImage]:
        """The script."""
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return [GeneratedImage(image, seed) for image, seed in zip(self.outcome, seeds, strict=True)]


def _later() -> Deadline:
    return Deadline.after(600)


def test_generated_images_come_through() -> None:
    """A source that generates is done, with its seeds in order."""
    result = resynthesize(Scripted([IMAGE, IMAGE]), CAPTION, (7, 8), _later())
    assert (result.source, result.revision, result.state, result.reason) == ("scripted", "1", SourceState.DONE, None)
    assert [generated_image.seed for generated_image in result.generated_images] == [7, 8]


@pytest.mark.parametrize(
    "kind",
    [
        errors.PromptRefused,
        errors.OutputRefused,
        errors.RateLimited,
        errors.QuotaExhausted,
        errors.SourceTimeout,
        errors.SourceUnavailable,
        errors.SourceError,
    ],
)
def test_a_source_error_keeps_its_state_and_sentence(kind: type[errors.SourceError]) -> None:
    """The reason is the message of the exception."""
    result = resynthesize(Scripted(kind("A sentence.")), CAPTION, (7,), _later())
    assert (result.state, result.reason, result.generated_images) == (kind.state, "A sentence.", ())


def test_anything_else_is_an_error_without_internals() -> None:
    """An unexpected exception is passed to `on_error`, and not shown to the caller."""
    seen: list[Exception] = []
    result = resynthesize(Scripted(KeyError("/secret/path")), CAPTION, (7,), _later(), seen.append)
    assert result.state is SourceState.ERROR
    assert result.reason
    assert "secret" not in result.reason
    assert isinstance(seen[0], KeyError)


def test_an_interrupt_is_not_swallowed() -> None:
    """A worker that is shut down while generating stops."""
    with pytest.raises(KeyboardInterrupt):
        resynthesize(Scripted(KeyboardInterrupt()), CAPTION, (7,), _later())  # type: ignore[arg-type]


def test_a_deadline_that_has_passed_starts_nothing() -> None:
    """A source whose deadline has passed is not called."""
    result = resynthesize(Scripted([IMAGE]), CAPTION, (7,), Deadline.after(-1))
    assert result.state is SourceState.TIMEOUT


def test_blanks_are_dropped() -> None:
    """Blank images are removed; if all are blank, the output is refused."""
    some = resynthesize(Scripted([BLACK, IMAGE]), CAPTION, (7, 8), _later())
    assert [generated_image.seed for generated_image in some.generated_images] == [8]
    none = resynthesize(Scripted([BLACK, BLACK]), CAPTION, (7, 8), _later())
    assert (none.state, none.generated_images) == (SourceState.REFUSED_OUTPUT, ())
    assert resynthesize(Scripted([]), CAPTION, (), _later()).state is SourceState.REFUSED_OUTPUT


def test_what_is_blank() -> None:
    """A flat image is blank, in any color and with compression noise; a pale image is not."""
    noisy = Image.effect_noise((64, 64), 1.0).point(lambda v: max(0, min(5, v - 126)))
    assert is_blank(BLACK)
    assert is_blank(Image.new("RGB", (8, 8), (200, 10, 10)))
    assert is_blank(noisy.convert("RGB"))
    pale = Image.new("RGB", (8, 8), "white")
    pale.putpixel((3, 3), (230, 255, 255))
    assert not is_blank(pale)


def test_a_remark_stands_beside_done() -> None:
    """The remark of a generator is the reason of a successful result."""

    class Remarking(Scripted):
        def remark(self, prompt: str) -> str:
            return f"Only {prompt[:5]!r} was read."

    result = resynthesize(Remarking([IMAGE]), CAPTION, (7,), _later())
    assert (result.state, result.reason) == (SourceState.DONE, "Only 'a red' was read.")
