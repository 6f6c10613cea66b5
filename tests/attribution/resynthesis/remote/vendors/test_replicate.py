"""Where Replicate differs from the rest."""

import json
from dataclasses import replace

import pytest

from attribution.errors import OutputRefused, RateLimited, SourceError
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendor import ImageRequest, VendorImage
from attribution.resynthesis.remote.vendors.replicate import Replicate
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.replicate import CONTRACT
from tests.attribution.resynthesis.remote.generation import (
    RecordingGate,
    connections,
    generate,
    generator_of,
    source_of,
)

VENDOR = Replicate("owner/name")


def response(**members: object) -> HttpResponse:
    """A prediction as a response."""
    return HttpResponse(200, {}, json.dumps(members).encode())


def test_a_pinned_version_has_a_route_of_its_own(stub: Stub, client: HttpClient) -> None:
    """A version is sent on the older route only."""
    source = replace(source_of(CONTRACT, stub), model="owner/name:5c7d5dc6")
    result = generate(
        build_remote(source, connections(client, {"replicate": "stub-key-of-replicate"})), RecordingGate()
    )
    assert isinstance(result, GeneratedImage)


def test_the_limit_is_in_a_sentence(stub: Stub, client: HttpClient) -> None:
    """Any other status means that the task is pending."""
    stub.behave("replicate", scenario="rate_limited", retry_after=31)
    result = generate(generator_of(CONTRACT, stub, client), RecordingGate())
    assert isinstance(result, RateLimited)
    assert result.retry_after == 31


def test_outputs_are_one_address_or_several() -> None:
    """By model."""
    assert VENDOR.parse_response(response(status="succeeded", output="https://a/1.png")) == [
        VendorImage("https://a/1.png")
    ]
    several = response(status="succeeded", output=["https://a/1.png"], input={"seed": 4})
    assert VENDOR.parse_response(several) == [VendorImage("https://a/1.png", 4)]
    assert VENDOR.parse_response(response(status="succeeded", output=None)) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("NSFW content detected. Try running it again, or try a different prompt.", OutputRefused),
        ("The input or output was flagged as sensitive. Please try again with different inputs. (E005)", OutputRefused),
        ("CUDA out of memory", SourceError),
        (None, SourceError),
    ],
)
def test_why_a_prediction_failed(error: str | None, kind: type[SourceError]) -> None:
    """The model's error message distinguishes a safety filter from a failure."""
    with pytest.raises(SourceError) as raised:
        VENDOR.parse_response(response(status="failed", error=error))
    assert type(raised.value) is kind


def test_canceled_is_no_generated_image() -> None:
    """A canceled or aborted prediction is an error."""
    for status in ("canceled", "aborted"):
        with pytest.raises(SourceError, match="canceled"):
            VENDOR.parse_response(response(status=status))


def test_a_model_without_seeds_gets_none() -> None:
    """Without a seed the field is omitted."""
    assert json.loads(VENDOR.submit_request(ImageRequest("a hat")).body) == {"input": {"prompt": "a hat"}}
