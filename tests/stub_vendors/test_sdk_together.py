"""Together's own client, against the stub."""

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
import together
from PIL import Image

from stub_vendors import Stub

WANTED: dict[str, Any] = {"model": "black-forest-labs/FLUX.2-dev", "prompt": "a hat", "n": 1, "seed": 5, "steps": 28}


@pytest.fixture
def client(stub: Stub) -> Iterator[together.Together]:
    """The client with the stub as its base URL."""
    url = stub.base_url("together", "/v1")
    with together.Together(api_key="stub-key-of-together", base_url=url, max_retries=0) as client:
        yield client


def test_a_generated_image(client: together.Together, stub: Stub) -> None:
    """Every field of the response is one that the client's types know, and none is missing."""
    response = client.images.generate(**WANTED, width=1024, height=1024, response_format="base64")
    (one,) = response.data
    assert one.type == "b64_json"
    assert Image.open(BytesIO(b64decode(one.b64_json))).size == (128, 128)
    assert response.model_extra == one.model_extra == {}
    assert (response.object, response.model) == ("list", WANTED["model"])
    assert stub.billed()["together"] == 1


def test_an_address(client: together.Together) -> None:
    """By default the response contains an address."""
    (one,) = client.images.generate(**WANTED).data
    assert one.type == "url"
    assert httpx.get(one.url).content.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        ("refused_prompt", together.UnprocessableEntityError),
        ("rate_limited", together.RateLimitError),
        ("quota", together.APIStatusError),
        ("server_error", together.InternalServerError),
    ],
)
def test_errors(scenario: str, kind: type[together.APIStatusError], client: together.Together, stub: Stub) -> None:
    """The client raises its own errors."""
    stub.behave("together", scenario=scenario)
    with pytest.raises(kind):
        client.images.generate(**WANTED)


def test_how_long_to_wait(client: together.Together, stub: Stub) -> None:
    """The client reads the stub's header like the adapter."""
    stub.behave("together", scenario="rate_limited", retry_after=2.5)
    with pytest.raises(together.RateLimitError) as raised:
        client.images.generate(**WANTED)
    assert client._parse_retry_after_header(raised.value.response.headers) == 2.5


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    url = stub.base_url("together", "/v1")
    with (
        together.Together(api_key="another", base_url=url, max_retries=0) as client,
        pytest.raises(together.AuthenticationError),
    ):
        client.images.generate(**WANTED)
