"""The fake generator: deterministic when it draws, and every way it can misbehave."""

import subprocess
import sys
import time

import numpy as np
import pytest

from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import embed_all
from attribution.errors import PromptRefused, SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Caption, Deadline, ModelRef, SourceState
from attribution.rank import rank
from attribution.resynthesise import resynthesise
from attribution.resynthesise.fake import CRASH_CODE, FakeBehaviour, FakeGenerator

REF = ModelRef("fake", "1")


def _fake(source: str = "fake", **behaviour: object) -> FakeGenerator:
    return FakeGenerator(source, REF, FakeBehaviour(**behaviour))  # type: ignore[arg-type]


def _later() -> Deadline:
    return Deadline.after(600)


def test_the_same_question_gives_the_same_drawing() -> None:
    """Source, caption and seed decide every pixel."""
    first, second = (_fake().draw("a hat", (1, 2), _later()) for _ in range(2))
    assert [d.image.tobytes() for d in first] == [d.image.tobytes() for d in second]
    others = [_fake("other").draw("a hat", (1,), _later()), _fake().draw("a cap", (1,), _later()), first[1:]]
    assert all(other[0].image.tobytes() != first[0].image.tobytes() for other in others)


def test_its_own_drawings_are_nearest() -> None:
    """A query drawn by one of ten fakes is ranked to that fake, so that service tests have a right answer."""
    fakes = [_fake(f"fake-{i}") for i in range(10)]
    query = fakes[6].draw("a hat", (99,), _later())[0].image
    drawings = {fake.source: [d.image for d in fake.draw("a hat", (1, 2), _later())] for fake in fakes}
    ranking = rank(embed_all(FakeEmbedder(), query, drawings), distance_named("cosine"), list(drawings))
    assert ranking.entries[0].source == "fake-6"


@pytest.mark.parametrize(
    ("fail", "error"), [("error", SourceError), ("refused_prompt", PromptRefused), ("unavailable", SourceUnavailable)]
)
def test_failures(fail: str, error: type[SourceError]) -> None:
    """Each failure is the error a real source would raise."""
    with pytest.raises(error):
        _fake(fail=fail).draw("a hat", (1,), _later())


def test_black_is_refused_output() -> None:
    """A black square goes the way of a safety filter's."""
    result = resynthesise(_fake(fail="black"), Caption("a hat", REF), (1,), _later())
    assert result.state is SourceState.REFUSED_OUTPUT


def test_flaky_works_in_the_end() -> None:
    """It fails as often as told, and then draws."""
    fake = _fake(flaky=2)
    for _ in range(2):
        with pytest.raises(SourceUnavailable):
            fake.draw("a hat", (1,), _later())
    assert fake.draw("a hat", (1,), _later())


def test_sleeping_ends_at_the_deadline() -> None:
    """A slow source costs a job no more than its time."""
    started = time.monotonic()
    with pytest.raises(SourceTimeout):
        _fake(sleep_seconds=30).draw("a hat", (1,), Deadline.after(0.05))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("behaviour", ["crash=True", "crash_on='hat'"])
def test_crashing_takes_the_process_down(behaviour: str) -> None:
    """No exception, no clean-up: as a segmentation fault would do it."""
    script = (
        "from attribution.ports import *; from attribution.resynthesise.fake import *\n"
        f"FakeGenerator('f', ModelRef('f', '1'), FakeBehaviour({behaviour})).draw('a hat', (1,), Deadline.after(9))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == CRASH_CODE


def test_crash_on_spares_other_captions() -> None:
    """Only the caption with the word is fatal."""
    assert _fake(crash_on="magenta").draw("a hat", (1,), _later())


def test_hanging_ignores_the_deadline() -> None:
    """Only killing ends it."""
    script = (
        "from attribution.ports import *; from attribution.resynthesise.fake import *\n"
        "FakeGenerator('f', ModelRef('f', '1'), FakeBehaviour(hang=True)).draw('a hat', (1,), Deadline.after(0.01))"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", script], timeout=2)


def test_size() -> None:
    """The side in pixels is the catalogue's."""
    assert np.asarray(_fake(size=32).draw("a hat", (1,), _later())[0].image).shape == (32, 32, 3)
