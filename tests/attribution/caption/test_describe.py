"""The captioning stage with captioners that need no model."""

import subprocess
import sys

import pytest
from PIL import Image

from attribution.caption import GIVEN, GivenCaptioner, describe
from attribution.caption.fake import CRASH_CODE, FakeCaptioner, FakeCaptionerBehavior
from attribution.errors import AttributionError
from attribution.ports import Caption

RED = Image.new("RGB", (8, 8), (210, 20, 20))


def test_the_callers_prompt_takes_the_captioners_place() -> None:
    """A given prompt is the caption, and says who wrote it."""
    assert describe(GivenCaptioner("a red hat"), RED) == Caption("a red hat", GIVEN)


def test_captions_are_tidied() -> None:
    """White space does not change a caption, or it would change the seeds."""
    assert describe(GivenCaptioner("  a red\n hat "), RED).text == "a red hat"
    assert describe(GivenCaptioner("a\0red\ud83dhat"), RED).text == "a red hat"


def test_no_words_are_an_error() -> None:
    """An empty caption is not sent to sources."""
    with pytest.raises(AttributionError, match="give a prompt"):
        describe(GivenCaptioner(" \n"), RED)


def test_the_fake_names_the_color() -> None:
    """The same image gets the same sentence, another color another."""
    assert describe(FakeCaptioner(), RED).text == "an image in red"
    assert describe(FakeCaptioner(), Image.new("RGB", (9, 9), (0, 0, 250))).text == "an image in blue"


def test_the_fake_fails_as_configured() -> None:
    """A job whose captioner fails can be tested."""
    with pytest.raises(AttributionError, match="as configured"):
        describe(FakeCaptioner(FakeCaptionerBehavior(fail=True)), RED)


def test_the_fake_crashes_on_its_color_only() -> None:
    """`crash_on` ends the process for captions with its word only."""
    behavior = FakeCaptionerBehavior(crash_on="red")
    assert describe(FakeCaptioner(behavior), Image.new("RGB", (9, 9), (0, 0, 250))).text == "an image in blue"
    script = (
        "import PIL.Image; from attribution.caption.fake import FakeCaptioner, FakeCaptionerBehavior\n"
        "red = PIL.Image.new('RGB', (8, 8), (210, 20, 20))\n"
        "FakeCaptioner(FakeCaptionerBehavior(crash_on='red')).describe(red)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == CRASH_CODE
