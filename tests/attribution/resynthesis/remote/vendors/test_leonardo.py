"""Leonardo's sentences, flags and ids."""

import json

import pytest

from attribution.errors import OutputRefused, SourceError
from attribution.resynthesis.remote.failure import failure
from attribution.resynthesis.remote.vendor import ImageRequest, StillGenerating
from attribution.resynthesis.remote.vendors.leonardo import Leonardo
from attribution.resynthesis.remote.web import HttpResponse

LEONARDO = Leonardo("model-id", {"alchemy": True})


def response(generation: object) -> HttpResponse:
    """The response to a poll."""
    return HttpResponse(200, {}, json.dumps({"generations_by_pk": generation}).encode())


@pytest.mark.parametrize(
    ("status", "said", "state"),
    [
        (400, "Content moderation: prompt is not allowed", "refused_prompt"),
        (403, "The prompt was flagged as NSFW", "refused_prompt"),
        (400, "not enough api tokens", "quota"),
        (402, "Insufficient API credit", "quota"),
        (403, "Forbidden", "unavailable"),
        (400, "width must be a multiple of 8", "error"),
        (500, "moderation service failed", "unavailable"),
    ],
)
def test_what_its_sentences_mean(status: int, said: str, state: str) -> None:
    """The message distinguishes refusals and empty accounts."""
    body = json.dumps({"error": said, "path": "$", "code": "unexpected"}).encode()
    assert failure(LEONARDO, HttpResponse(status, {}, body)).state == state


def test_rewriting_is_off_and_the_feed_is_not_fed() -> None:
    """Prompt expansion and publication are always disabled."""
    body = json.loads(LEONARDO.submit_request(ImageRequest("a hat", 7)).body)
    assert body == {
        "prompt": "a hat",
        "modelId": "model-id",
        "num_images": 1,
        "seed": 7,
        "enhancePrompt": False,
        "public": False,
        "alchemy": True,
    }


def test_a_flagged_image_is_refused_and_a_failed_order_an_error() -> None:
    """A flagged image is refused, a failure is an error, and an unknown generation is pending."""
    images = [{"url": "https://x/y.png", "nsfw": True}]
    with pytest.raises(OutputRefused):
        LEONARDO.parse_poll(response({"status": "COMPLETE", "generated_images": images}), "t")
    with pytest.raises(SourceError, match="could not generate"):
        LEONARDO.parse_poll(response({"status": "FAILED", "generated_images": []}), "t")
    assert LEONARDO.parse_poll(response(None), "t") == StillGenerating("t")
    assert LEONARDO.parse_poll(response({"status": "COMPLETE", "generated_images": []}), "t") == []


def test_an_id_is_no_path() -> None:
    """A response cannot direct the key to another path."""
    assert LEONARDO.poll_request("../me?x=1").to == "generations/..%2Fme%3Fx%3D1"
