"""OpenAI's own client, against the stub: so that stub and adapter are not one mind's guess twice."""

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO

import openai
import pytest
from PIL import Image

from stub_vendors import Stub


@pytest.fixture
def client(stub: Stub) -> Iterator[openai.OpenAI]:
    """The client with the stub as its base URL."""
    with openai.OpenAI(api_key="stub-key-of-openai", base_url=stub.base_url("openai", "/v1"), max_retries=0) as client:
        yield client


def test_a_generated_image(client: openai.OpenAI, stub: Stub) -> None:
    """The client's types know every field of the response."""
    response = client.images.generate(
        model="gpt-image-2",
        prompt="a hat",
        n=1,
        size="1024x1024",
        quality="medium",
        moderation="low",
        output_format="png",
        safety_identifier="tenant",
    )
    assert response.data is not None
    image = Image.open(BytesIO(b64decode(response.data[0].b64_json or "")))
    assert image.size == (128, 128)
    assert response.model_extra == {}
    assert response.data[0].model_extra == {}
    assert response.usage is not None
    assert response.usage.model_extra == {}
    assert stub.billed()["openai"] == 1


@pytest.mark.parametrize(
    ("scenario", "kind", "code"),
    [
        ("refused_prompt", openai.BadRequestError, "moderation_blocked"),
        ("rate_limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("server_error", openai.InternalServerError, None),
    ],
)
def test_errors(
    scenario: str, kind: type[openai.APIStatusError], code: str | None, client: openai.OpenAI, stub: Stub
) -> None:
    """The client raises its own errors and finds their codes."""
    stub.behave("openai", scenario=scenario)
    with pytest.raises(kind) as raised:
        client.images.generate(model="gpt-image-2", prompt="a hat")
    assert raised.value.code == code


def test_how_long_to_wait(client: openai.OpenAI, stub: Stub) -> None:
    """The client reads the stub's headers like the adapter."""
    stub.behave("openai", scenario="rate_limited", retry_after=2.5)
    with pytest.raises(openai.RateLimitError) as raised:
        client.images.generate(model="gpt-image-2", prompt="a hat")
    assert client._parse_retry_after_header(raised.value.response.headers) == 2.5


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    with (
        openai.OpenAI(api_key="another", base_url=stub.base_url("openai", "/v1"), max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.images.generate(model="gpt-image-2", prompt="a hat")
