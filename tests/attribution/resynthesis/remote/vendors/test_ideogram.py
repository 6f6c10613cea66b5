"""Ideogram's two versions, and the prompt that each generates."""

from collections.abc import Mapping

import pytest

from attribution.catalog.source import Parameter
from attribution.errors import OutputRefused
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors.ideogram import Ideogram
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contract import Contract
from tests.attribution.resynthesis.remote.contracts.ideogram import CONTRACT
from tests.attribution.resynthesis.remote.generation import (
    CAPTION,
    RecordingGate,
    connections,
    generate,
    key_of,
    source_of,
)

FOUR = Contract("ideogram", "Ideogram 4.0", "/v1", "ideogram-v4", {"resolution": "2048x2048"})


def generated(
    contract: Contract, stub: Stub, client: HttpClient, parameters: Mapping[str, Parameter]
) -> GeneratedImage:
    """A generated image at the stub."""
    source = source_of(contract, stub, parameters)
    result = generate(build_remote(source, connections(client, {"ideogram": key_of(contract)})), RecordingGate())
    assert isinstance(result, GeneratedImage), result
    return result


@pytest.mark.parametrize("contract", [CONTRACT, FOUR], ids=["3.0", "4.0"])
def test_the_caption_is_generated_as_it_is(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """The caption is also unchanged in a structured prompt."""
    assert generated(contract, stub, client, {}).prompt is None


@pytest.mark.parametrize("contract", [CONTRACT, FOUR], ids=["3.0", "4.0"])
def test_magic_is_recorded(contract: Contract, stub: Stub, client: HttpClient) -> None:
    """With `magic_prompt`, the rewritten prompt is recorded."""
    assert generated(contract, stub, client, {"magic_prompt": True}).prompt == f"A magical {CAPTION}"


def test_a_seed_that_was_not_asked_for_is_not_recorded(stub: Stub, client: HttpClient) -> None:
    """4.0 reports a seed but takes none, so none is recorded."""
    assert generated(FOUR, stub, client, {}).seed is None
    assert generated(CONTRACT, stub, client, {}).seed == 5


@pytest.mark.parametrize(
    "image",
    ['{"is_image_safe": false, "url": ""}', '{"is_image_safe": false, "url": "https://x/y.png"}', '{"url": null}'],
)
def test_an_unsafe_image_is_none(image: str) -> None:
    """A response may contain an address instead of base64."""
    with pytest.raises(OutputRefused):
        Ideogram("ideogram-v3").parse_response(HttpResponse(200, {}, f'{{"data": [{image}]}}'.encode()))


def test_another_structure_is_another_prompt() -> None:
    """The prompt of the response is recorded."""
    document = '{"prompt": "{\\"high_level_description\\": \\"a hat\\"}", "url": "https://x/y.png"}'
    (image,) = Ideogram("ideogram-v4").parse_response(HttpResponse(200, {}, f'{{"data": [{document}]}}'.encode()))  # type: ignore[misc]
    assert image.prompt == '{"high_level_description": "a hat"}'
