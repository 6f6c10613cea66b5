"""Hugging Face's own client with the stub. Instead of the Hub, a fixed mapping names the provider of a model."""

from collections.abc import Callable

import pytest
from huggingface_hub import InferenceClient, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference._providers import _common

from stub_vendors import Stub

MODEL = "stabilityai/stable-diffusion-xl-base-1.0"
KEY = "stub-key-of-huggingface"


@pytest.fixture
def own(stub: Stub) -> InferenceClient:
    """hf-inference, which the client also finds by a model's address."""
    address = stub.base_url("huggingface", f"/hf-inference/models/{MODEL}")
    return InferenceClient(model=address, provider="hf-inference", api_key=KEY)


@pytest.fixture
def through(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], InferenceClient]:
    """A provider behind the router: the client goes there with keys that begin with hf_."""
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", stub.base_url("huggingface", "/{provider}"))

    def client(provider: str) -> InferenceClient:
        mapping = InferenceProviderMapping(
            provider=provider, hf_model_id=MODEL, providerId="its/name", task="text-to-image", status="live"
        )
        monkeypatch.setitem(_common.HARDCODED_MODEL_INFERENCE_MAPPING[provider], MODEL, mapping)
        sent = {"authorization": f"Bearer {KEY}"}
        return InferenceClient(provider=provider, api_key="hf_stub", headers=sent)  # type: ignore[arg-type]

    return client


def test_a_generated_image(own: InferenceClient, stub: Stub) -> None:
    """The image's bytes, whole."""
    image = own.text_to_image("a hat", seed=5, width=1024, height=1024, guidance_scale=5.0, num_inference_steps=30)
    assert image.size == (128, 128)
    assert stub.billed()["huggingface"] == 1


@pytest.mark.parametrize("provider", ["fal-ai", "together", "nscale"])
def test_through_the_router(provider: str, through: Callable[[str], InferenceClient]) -> None:
    """Each provider in its own format; the client sends size and steps like the adapter."""
    image = through(provider).text_to_image(
        "a hat", model=MODEL, seed=5, width=1024, height=1024, guidance_scale=5.0, num_inference_steps=30
    )
    assert image.size == (128, 128)


@pytest.mark.parametrize(("scenario", "status"), [("rate_limited", 429), ("quota", 402), ("server_error", 500)])
def test_errors(scenario: str, status: int, own: InferenceClient, stub: Stub) -> None:
    """The client raises them with their status."""
    stub.behave("huggingface", scenario=scenario)
    with pytest.raises(HfHubHTTPError) as raised:
        own.text_to_image("a hat")
    assert raised.value.response is not None
    assert raised.value.response.status_code == status


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    address = stub.base_url("huggingface", f"/hf-inference/models/{MODEL}")
    with pytest.raises(HfHubHTTPError, match="401"):
        InferenceClient(model=address, provider="hf-inference", api_key="another").text_to_image("a hat")
