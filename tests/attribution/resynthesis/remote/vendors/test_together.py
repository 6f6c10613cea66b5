"""Where Together differs from the rest."""

import json

import pytest

from attribution.errors import PromptRefused
from attribution.resynthesis.remote.vendor import VendorImage
from attribution.resynthesis.remote.vendors.together import Together
from attribution.resynthesis.remote.web import HttpResponse

VENDOR = Together("black-forest-labs/FLUX.2-dev")


@pytest.mark.parametrize(
    ("status", "message", "refused"),
    [
        (422, "The prompt may contain NSFW content", True),
        (400, "Blocked by content policy", True),
        (400, "width must be a multiple of 8", False),
        (500, "the safety service is down", False),
    ],
)
def test_what_sounds_like_a_refusal(status: int, message: str, refused: bool) -> None:
    """An error of the server is not a refusal."""
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    found = VENDOR.failure(HttpResponse(status, {}, body))
    assert isinstance(found, PromptRefused) if refused else found is None


def test_an_address_is_taken_too() -> None:
    """Exporting an unsupported model is an error."""
    body = json.dumps({"data": [{"index": 0, "type": "url", "url": "https://x/1"}]}).encode()
    assert VENDOR.parse_response(HttpResponse(200, {}, body)) == [VendorImage("https://x/1")]
