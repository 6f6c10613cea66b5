"""OpenAI's own client for Azure, against the stub, by both routes."""

from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO

import openai
import pytest
from PIL import Image

from stub_vendors import Stub

KEY = "stub-key-of-azure_openai"


@pytest.fixture
def client(stub: Stub) -> Iterator[openai.AzureOpenAI]:
    """By deployments."""
    with openai.AzureOpenAI(
        api_key=KEY,
        azure_endpoint=stub.base_url("azure_openai"),
        api_version="2025-04-01-preview",
        max_retries=0,
    ) as client:
        yield client


def generated(response: openai.types.ImagesResponse) -> Image.Image:
    """The image, and nothing in the response's head that the client's types do not know."""
    assert response.data is not None
    assert response.model_extra == {}
    return Image.open(BytesIO(b64decode(response.data[0].b64_json or "")))


def test_a_generated_image_by_deployment(client: openai.AzureOpenAI, stub: Stub) -> None:
    """The client puts the model's name into the path."""
    response = client.images.generate(model="our-deployment", prompt="a hat", n=1, size="1024x1024", user="tenant")
    assert generated(response).size == (128, 128)
    assert stub.billed()["azure_openai"] == 1


def test_a_generated_image_by_v1(stub: Stub) -> None:
    """The plain client is all that is needed."""
    base_url = stub.base_url("azure_openai", "/openai/v1")
    with openai.OpenAI(api_key=KEY, base_url=base_url, max_retries=0) as client:
        assert generated(client.images.generate(model="our-deployment", prompt="a hat")).size == (128, 128)


@pytest.mark.parametrize(
    ("scenario", "kind", "code"),
    [
        ("refused_prompt", openai.BadRequestError, "content_policy_violation"),
        ("refused_output", openai.BadRequestError, "contentFilter"),
        ("rate_limited", openai.RateLimitError, "429"),
        ("server_error", openai.InternalServerError, "InternalServerError"),
    ],
)
def test_errors(
    scenario: str, kind: type[openai.APIStatusError], code: str, client: openai.AzureOpenAI, stub: Stub
) -> None:
    """The client raises its own errors and finds their codes."""
    stub.behave("azure_openai", scenario=scenario)
    with pytest.raises(kind) as raised:
        client.images.generate(model="our-deployment", prompt="a hat")
    assert raised.value.code == code


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    with (
        openai.OpenAI(api_key="x", base_url=stub.base_url("azure_openai", "/openai/v1"), max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.images.generate(model="our-deployment", prompt="a hat")
