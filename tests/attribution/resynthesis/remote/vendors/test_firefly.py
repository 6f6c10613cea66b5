"""Firefly's two routes, its token, and images that are not of the whole caption."""

import json

import pytest

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, SourceError
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendor import ImageRequest, StillGenerating
from attribution.resynthesis.remote.vendors.firefly import Firefly
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contract import Contract
from tests.attribution.resynthesis.remote.contracts.firefly import CONTRACT
from tests.attribution.resynthesis.remote.generation import (
    RecordingGate,
    connections,
    generate,
    generator_of,
    source_of,
)

AT_ONCE = Contract("firefly", "Image 3", "/v3", "image3", CONTRACT.parameters, key=CONTRACT.key)


@pytest.mark.parametrize("contract", [AT_ONCE, CONTRACT], ids=["at once", "later"])
def test_both_routes_generate(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """Both routes generate with the requested seed."""
    gate = RecordingGate()
    result = generate(generator_of(contract, stub, client), gate, 7)
    assert isinstance(result, GeneratedImage), result
    assert (result.seed, result.prompt) == (7, None)
    assert len(gate.submitted_tasks) == (0 if contract is AT_ONCE else 1)


@pytest.mark.parametrize("contract", [AT_ONCE, CONTRACT], ids=["at once", "later"])
def test_an_image_of_half_the_caption_is_none(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """An image of a shortened caption is refused, but billed."""
    gate = RecordingGate()
    result = generate(generator_of(contract, stub, client), gate, caption="a hat [denied]")
    assert isinstance(result, OutputRefused)
    assert "omitted words of the caption" in str(result)
    assert gate.closed == [("refused_output", 1)]
    assert stub.billed()["firefly"] == 1


def test_blocked_artists() -> None:
    """Denied artists are refused like denied words."""
    document = {"outputs": [{"seed": 1, "image": {"url": "https://x/y"}}], "promptHasBlockedArtists": True}
    with pytest.raises(OutputRefused):
        Firefly("image3").parse_response(HttpResponse(200, {}, json.dumps(document).encode()))


@pytest.mark.parametrize("key", ["client-of-ours", "client-of-ours:wrong", "client-of-others:stub-key-of-firefly"])
def test_a_wrong_key_orders_nothing(key: str, stub: Stub, client: HttpClient) -> None:
    """With a wrong key the gate is not opened, and the error contains no part of the key."""
    gate = RecordingGate()
    result = generate(build_remote(source_of(CONTRACT, stub), connections(client, {"firefly": key})), gate)
    assert isinstance(result, KeyRefused)
    assert (gate.opened, stub.counts("firefly")["orders"]) == ([], 0)
    assert key not in str(result)


def test_the_model_is_named_where_the_route_has_a_place_for_it() -> None:
    """The model is sent only on the asynchronous route."""
    later = Firefly("image4_ultra").submit_request(ImageRequest("a hat"))
    assert (later.to, later.headers["x-model-version"]) == ("images/generate-async", "image4_ultra")
    at_once = Firefly("image3").submit_request(ImageRequest("a hat"))
    assert at_once.to == "images/generate"
    assert "x-model-version" not in at_once.headers


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"status": "failed", "error_code": "prompt_unsafe"}, PromptRefused),
        ({"status": "failed", "result": {"error_code": "output_media_unsafe"}}, OutputRefused),
        ({"status": "failed", "errors": [{"code": "prompt_unsafe"}]}, PromptRefused),
        ({"status": "failed", "error_code": "runtime_error"}, SourceError),
        ({"status": "canceled"}, SourceError),
    ],
)
def test_jobs_that_fail(document: object, kind: type[SourceError]) -> None:
    """The code of a failed task is found at each of its places."""
    with pytest.raises(SourceError) as raised:
        Firefly("image4_standard").parse_poll(HttpResponse(200, {}, json.dumps(document).encode()), "t")
    assert type(raised.value) is kind


def test_jobs_that_go_on() -> None:
    """Any other status means that the task is pending."""
    for status in ("pending", "running", "something new"):
        body = json.dumps({"status": status}).encode()
        assert Firefly("image4_standard").parse_poll(HttpResponse(200, {}, body), "t") == StillGenerating("t")
