"""Google's own client against the stub of the Developer API."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from stub_vendors import Stub

MODEL = "gemini-3.1-flash-image"
GENERATED_IMAGE = types.GenerateContentConfig(
    response_modalities=["IMAGE"], seed=7, image_config=types.ImageConfig(aspect_ratio="1:1", image_size="1K")
)


@pytest.fixture
def client(stub: Stub) -> Iterator[genai.Client]:
    """The client with the stub as its base URL."""
    with made(stub, "stub-key-of-gemini") as client:
        yield client


@contextmanager
def made(stub: Stub, key: str) -> Iterator[genai.Client]:
    """A client with a key, which is closed."""
    options = types.HttpOptions(base_url=stub.base_url("gemini"), api_version="v1beta")
    client = genai.Client(api_key=key, vertexai=False, http_options=options)
    yield client
    client.close()


def generated(response: types.GenerateContentResponse) -> Image.Image:
    """The image of the first part."""
    assert response.candidates
    content = response.candidates[0].content
    assert content is not None
    assert content.parts
    blob = content.parts[0].inline_data
    assert blob is not None
    return Image.open(BytesIO(blob.data or b""))


def test_a_generated_image(client: genai.Client, stub: Stub) -> None:
    """The same seed is the same generated image, and the client finds it where it looks."""
    response = client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    again = client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    assert generated(response).size == (128, 128)
    assert generated(response).tobytes() == generated(again).tobytes()
    assert response.model_version == MODEL
    assert response.usage_metadata is not None
    assert stub.billed()["gemini"] == 2


def test_refusals_are_known_to_the_client(client: genai.Client, stub: Stub) -> None:
    """Both have status 200, and the client has a name for each."""
    stub.behave("gemini", scenario="refused_prompt")
    response = client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    assert response.prompt_feedback is not None
    assert response.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
    stub.behave("gemini", scenario="refused_output")
    response = client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    assert response.candidates
    assert response.candidates[0].finish_reason is types.FinishReason.IMAGE_SAFETY


@pytest.mark.parametrize(
    ("scenario", "code", "status"),
    [
        ("rate_limited", 429, "RESOURCE_EXHAUSTED"),
        ("quota", 429, "RESOURCE_EXHAUSTED"),
        ("server_error", 500, "INTERNAL"),
    ],
)
def test_errors(scenario: str, code: int, status: str, client: genai.Client, stub: Stub) -> None:
    """The client reads code and status."""
    stub.behave("gemini", scenario=scenario)
    with pytest.raises(errors.APIError) as raised:
        client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    assert (raised.value.code, raised.value.status) == (code, status)


def test_a_wrong_key(stub: Stub) -> None:
    """A bad request, as with the real one."""
    with made(stub, "another") as client, pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model=MODEL, contents="a hat", config=GENERATED_IMAGE)
    assert raised.value.code == 400


def test_a_setting_that_there_is_not(client: genai.Client) -> None:
    """The stub knows what images can be asked for."""
    with pytest.raises(errors.ClientError, match="image_config"):
        client.models.generate_content(
            model=MODEL,
            contents="a hat",
            config=types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="7:1")),
        )
