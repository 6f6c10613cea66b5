"""The router's providers, each in its own words."""

import pytest

from attribution.errors import ConfigurationError, OutputRefused, SourceError, SourceUnavailable
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.huggingface import CONTRACT
from tests.attribution.resynthesis.remote.generation import RecordingGate, connections, generate, source_of

SECRETS = {"huggingface": "stub-key-of-huggingface"}
PROVIDERS = ("hf-inference", "fal-ai", "together", "nscale")


def generated(stub: Stub, client: HttpClient, **parameters: str) -> GeneratedImage | SourceError:
    """One generated image of a source with these parameters."""
    return generate(build_remote(source_of(CONTRACT, stub, parameters), connections(client, SECRETS)), RecordingGate())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_generates(provider: str, stub: Stub, client: HttpClient) -> None:
    """Size, steps and seed are sent under each provider's names, which the stub checks."""
    result = generated(stub, client, provider=provider, provider_model="its/own-name")
    assert isinstance(result, GeneratedImage), result
    assert result.seed == 5


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_blackened_image_is_no_generated_image(provider: str, stub: Stub, client: HttpClient) -> None:
    """A blackened image is refused, with or without a flag."""
    stub.behave("huggingface", scenario="refused_output")
    assert isinstance(generated(stub, client, provider=provider), OutputRefused)


@pytest.mark.parametrize("scenario", ["expired", "foreign"])
def test_a_provider_with_addresses(scenario: str, stub: Stub, foreign_host: Stub, client: HttpClient) -> None:
    """Image addresses are fetched without the key; expired and foreign ones are errors."""
    stub.behave("huggingface", scenario=scenario, foreign=f"{foreign_host.url}/elsewhere")
    assert isinstance(generated(stub, client, provider="fal-ai"), SourceError)
    assert not foreign_host.unknown_requests()
    assert stub.counts("huggingface")["keys_leaked"] == 0


def test_a_model_that_is_loading_says_for_how_long(stub: Stub, client: HttpClient) -> None:
    """A model that is loading is unavailable, and nothing is billed."""
    result = generated(stub, client, provider_model="some/loading")
    assert isinstance(result, SourceUnavailable)
    assert str(result) == "Hugging Face is still loading the model, for another 20 seconds."
    assert (result.permanent, stub.billed()["huggingface"]) == (False, 0)


def test_an_unknown_provider_is_a_mistake_in_the_file(stub: Stub, client: HttpClient) -> None:
    """An unknown provider is an error that lists the known ones."""
    with pytest.raises(ConfigurationError, match="hf-inference, fal-ai, together, nscale"):
        generated(stub, client, provider="replicate")
