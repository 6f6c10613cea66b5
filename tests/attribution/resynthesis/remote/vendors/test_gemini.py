"""What Gemini says with status 200, and with its errors."""

import json
from base64 import b64encode

import pytest

from attribution.errors import KeyRefused, QuotaExhausted, RateLimited, SourceError
from attribution.ports import SourceState
from attribution.resynthesis.remote.failure import failure
from attribution.resynthesis.remote.vendor import ImageRequest
from attribution.resynthesis.remote.vendors.gemini import Gemini
from attribution.resynthesis.remote.web import HttpResponse

GEMINI = Gemini("gemini-3.1-flash-image", {"aspectRatio": "1:1"})


def response(document: object, status: int = 200) -> HttpResponse:
    """A response with this document."""
    return HttpResponse(status, {}, json.dumps(document).encode())


def part(data: bytes, **more: object) -> dict[str, object]:
    """A part that is an image."""
    return {"inlineData": {"mimeType": "image/png", "data": b64encode(data).decode()}, **more}


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ("IMAGE_SAFETY", SourceState.REFUSED_OUTPUT),
        ("IMAGE_PROHIBITED_CONTENT", SourceState.REFUSED_OUTPUT),
        ("IMAGE_RECITATION", SourceState.REFUSED_OUTPUT),
        ("IMAGE_OTHER", SourceState.REFUSED_OUTPUT),
        ("NO_IMAGE", SourceState.REFUSED_OUTPUT),
        ("SAFETY", SourceState.REFUSED_OUTPUT),
        ("PROHIBITED_CONTENT", SourceState.REFUSED_PROMPT),
        ("BLOCKLIST", SourceState.REFUSED_PROMPT),
        ("MAX_TOKENS", SourceState.ERROR),
        ("A_REASON_TO_COME", SourceState.ERROR),
    ],
)
def test_ends_that_are_no_generated_image(end: str, state: SourceState) -> None:
    """These finish reasons are refusals even if there is an image."""
    with pytest.raises(SourceError) as raised:
        GEMINI.parse_response(response({"candidates": [{"finishReason": end, "content": {"parts": [part(b"x")]}}]}))
    assert raised.value.state is state


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT", "IMAGE_SAFETY"])
def test_a_blocked_prompt(reason: str) -> None:
    """Any block reason is a refused prompt."""
    with pytest.raises(SourceError) as raised:
        GEMINI.parse_response(response({"promptFeedback": {"blockReason": reason}}))
    assert raised.value.state is SourceState.REFUSED_PROMPT


def test_words_and_sketches_are_no_generated_images() -> None:
    """Text and drafts are ignored; without another image the output is refused."""
    parts = [{"text": "Here it is."}, part(b"sketch", thought=True), part(b"generated_image")]
    images = GEMINI.parse_response(response({"candidates": [{"finishReason": "STOP", "content": {"parts": parts}}]}))
    assert isinstance(images, list)
    assert [each.image for each in images] == [b"generated_image"]
    assert (
        GEMINI.parse_response(response({"candidates": [{"finishReason": "STOP", "content": {"parts": parts[:2]}}]}))
        == []
    )
    assert GEMINI.parse_response(response({})) == []


def test_a_limit_by_the_minute_and_one_by_the_day() -> None:
    """A limit per minute has a waiting time, a limit per day is a quota."""

    def said(*details: object) -> SourceError:
        return failure(GEMINI, response({"error": {"status": "RESOURCE_EXHAUSTED", "details": details}}, 429))

    by_minute = said({"retryDelay": "2.5s"}, {"violations": [{"quotaId": "RequestsPerMinute"}]})
    assert isinstance(by_minute, RateLimited)
    assert by_minute.retry_after == 2.5
    assert isinstance(said({"retryDelay": "9s"}, {"violations": [{"quotaId": "RequestsPerDay"}]}), QuotaExhausted)
    nothing = said({"retryDelay": "soon"})
    assert isinstance(nothing, RateLimited)
    assert nothing.retry_after is None


def test_a_wrong_key_is_a_bad_request_and_names_the_setting() -> None:
    """Only the error code distinguishes a wrong key from other bad requests."""
    error = {"status": "INVALID_ARGUMENT", "message": "Nothing.", "details": [{"reason": "API_KEY_INVALID"}]}
    refused = failure(GEMINI, response({"error": error}, 400), "VENDOR_KEYS__GEMINI")
    assert isinstance(refused, KeyRefused)
    assert "VENDOR_KEYS__GEMINI" in str(refused)
    error["details"] = []
    assert "Nothing" in str(failure(GEMINI, response({"error": error}, 400)))


def test_the_order() -> None:
    """The request asks only for an image, with the parameters of the entry."""
    request = GEMINI.submit_request(ImageRequest("a hat", 7, "tenant"))
    assert request.to == "models/gemini-3.1-flash-image:generateContent"
    assert json.loads(request.body) == {
        "contents": [{"role": "user", "parts": [{"text": "a hat"}]}],
        "generationConfig": {
            "responseModalities": ["IMAGE"],
            "candidateCount": 1,
            "seed": 7,
            "imageConfig": {"aspectRatio": "1:1"},
        },
    }
    assert "imageConfig" not in json.loads(Gemini("m").submit_request(ImageRequest("a hat")).body)["generationConfig"]
