"""OpenAI's own client asks the stub to describe an image: so that stub and captioner are not one mind's guess twice."""

from base64 import b64encode
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletion
from PIL import Image

from attribution.image import encode_png
from stub_vendors import Stub

RED = "data:image/png;base64," + b64encode(encode_png(Image.new("RGB", (16, 16), (210, 20, 20)))).decode()


@pytest.fixture
def client(stub: Stub) -> Iterator[openai.OpenAI]:
    """The client with the stub as its base URL."""
    with openai.OpenAI(api_key="stub-key-of-openai", base_url=stub.base_url("openai", "/v1"), max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, text: str = "Describe this image.", timeout: float = 10) -> ChatCompletion:
    """A request with an image."""
    return client.chat.completions.create(
        model="gpt-5-mini",
        temperature=0,
        timeout=timeout,
        messages=[
            {
                "role": "user",
                "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": RED}}],
            }
        ],
    )


def test_a_description(client: openai.OpenAI) -> None:
    """Every field of the response is one that the client's types know, down to the message."""
    response = ask(client)
    choice = response.choices[0]
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == ("an image in red", None, "stop")
    assert (response.model_extra, choice.model_extra, choice.message.model_extra) == ({}, {}, {})
    assert response.usage is not None
    assert response.usage.model_extra == {}


def test_a_refusal_is_in_its_own_member(client: openai.OpenAI) -> None:
    """With status 200, and no content."""
    message = ask(client, "[withheld]").choices[0].message
    assert (message.content, bool(message.refusal)) == (None, True)


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        ("refused_prompt", openai.BadRequestError),
        ("rate_limited", openai.RateLimitError),
        ("server_error", openai.InternalServerError),
        ("hang", openai.APITimeoutError),
    ],
)
def test_errors(scenario: str, kind: type[openai.APIError], client: openai.OpenAI) -> None:
    """The client raises its own errors."""
    with pytest.raises(kind):
        ask(client, f"[{scenario}]", timeout=0.3 if scenario == "hang" else 10)


def test_a_picture_that_is_none(client: openai.OpenAI) -> None:
    """Is the caller's mistake, as with the real ones."""
    with pytest.raises(openai.BadRequestError, match="image"):
        client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": RED[:60]}}]}],
        )
