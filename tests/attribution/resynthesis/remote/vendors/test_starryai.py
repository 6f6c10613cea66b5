"""What starryai's orders end with."""

import json

import pytest

from attribution.errors import SourceError
from attribution.resynthesis.remote.vendor import StillGenerating, VendorImage
from attribution.resynthesis.remote.vendors.starryai import Starryai
from attribution.resynthesis.remote.web import HttpResponse

STARRYAI = Starryai("lyra")


def response(**document: object) -> HttpResponse:
    """A response with this document."""
    return HttpResponse(200, {}, json.dumps(document).encode())


def test_an_order_has_a_number() -> None:
    """A task is polled by its number; without a number the response is an error."""
    assert STARRYAI.parse_response(response(id=41, status="submitted")) == StillGenerating("41")
    assert STARRYAI.poll_request("41").to == "creations/41"
    with pytest.raises(SourceError, match="lacks id"):
        STARRYAI.parse_response(response(status="submitted"))


@pytest.mark.parametrize("document", [{"status": "failed"}, {"status": "expired"}, {"status": "x", "expired": True}])
def test_bad_ends(document: dict[str, object]) -> None:
    """Errors that a retry cannot fix are raised immediately."""
    with pytest.raises(SourceError):
        STARRYAI.parse_poll(response(**document), "41")


def test_completed() -> None:
    """A completed task has images; none counts as refused."""
    assert STARRYAI.parse_poll(response(status="in progress", images=[]), "41") == StillGenerating("41")
    images = [{"url": "https://x/y.png"}, {"url": None}]
    assert STARRYAI.parse_poll(response(status="completed", images=images), "41") == [VendorImage("https://x/y.png")]
    assert STARRYAI.parse_poll(response(status="completed", images=[]), "41") == []
