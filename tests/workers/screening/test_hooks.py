"""An installation's own hooks, named in the settings, refuse images and texts as lists and rules do."""

from collections.abc import Callable

import pytest

from app.db.models import JobStatus
from tests.workers.screening.conftest import Screened, noise_image
from workers.screening import Hit, QueryImage, ScreenedCaption

MakeScreened = Callable[..., Screened]


class NoLandscapes:
    """A hook that takes no wide images, nor the word."""

    def check_image(self, query: QueryImage) -> Hit | None:
        """Looks at the canonical image."""
        return Hit("shape", "wide", "Wide images are not taken.") if query.image.width > query.image.height else None

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Looks for the word."""
        return Hit("wording", "wide", "Do not say landscape.") if "landscape" in caption.text else None


class Broken:
    """A hook that cannot answer."""

    def check_image(self, query: QueryImage) -> Hit | None:
        """Raises."""
        raise RuntimeError("whatever it looked into is not there")

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Has no opinion."""
        return None


NO_LANDSCAPES = NoLandscapes()
BROKEN = Broken()


@pytest.mark.parametrize(
    ("size", "prompt", "kind"),
    [((320, 200), None, "shape"), ((200, 320), "a landscape", "wording"), ((200, 320), "a person", None)],
)
def test_a_hook_of_ones_own(
    make_screened: MakeScreened, size: tuple[int, int], prompt: str | None, kind: str | None
) -> None:
    """What it refuses, image or text, ends as a listed image does; what it lets pass goes on."""
    screened = make_screened(screening={"hooks": ["tests.workers.screening.test_hooks:NO_LANDSCAPES"]})
    job = screened.ended(noise_image(1, size), prompt=prompt)
    if kind is None:
        assert job.status == JobStatus.SUCCEEDED
    else:
        screened.assert_refused(job, kind, "wide")
        assert screened.files() == []


def test_a_hook_that_breaks_lets_nothing_through(make_screened: MakeScreened) -> None:
    """Screening fails closed: with a hook that raises, the job ends without a generated image."""
    screened = make_screened(screening={"hooks": ["tests.workers.screening.test_hooks:BROKEN"]}, job={"attempts": 1})
    job = screened.ended(noise_image(1))
    assert job.status == JobStatus.FAILED
    screened.assert_never_generated(job)


def test_a_hook_that_is_not_there_stops_the_start(make_screened: MakeScreened) -> None:
    """A misspelt hook is found out before the first image, not by it."""
    with pytest.raises(AttributeError, match="NO_LANDSCAPE"):
        make_screened(screening={"hooks": ["tests.workers.screening.test_hooks:NO_LANDSCAPE"]})
