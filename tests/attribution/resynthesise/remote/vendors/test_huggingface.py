"""The router's providers, each in its own words."""

import pytest

from attribution.errors import ConfigurationError, OutputRefused, SourceError, SourceUnavailable
from attribution.ports import Drawing
from attribution.resynthesise.remote.build import build_remote
from attribution.resynthesise.remote.client import Client
from stub_vendors import Stub
from tests.attribution.resynthesise.remote.contracts.huggingface import CONTRACT
from tests.attribution.resynthesise.remote.drawing import RecordingGate, draw, outside, source_of

SECRETS = {"huggingface": "stub-key-of-huggingface"}
PROVIDERS = ("hf-inference", "fal-ai", "together", "nscale")


def drawn(stub: Stub, client: Client, **parameters: str) -> Drawing | SourceError:
    """One drawing of a source with these parameters."""
    return draw(build_remote(source_of(CONTRACT, stub, parameters), outside(client, SECRETS)), RecordingGate())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_draws(provider: str, stub: Stub, client: Client) -> None:
    """Size, steps and seed reach each under the name that it knows: the stub takes no other."""
    result = drawn(stub, client, provider=provider, provider_model="its/own-name")
    assert isinstance(result, Drawing), result
    assert result.seed == 5


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_blackened_image_is_no_drawing(provider: str, stub: Stub, client: Client) -> None:
    """Whether the provider says so or not."""
    stub.behave("huggingface", scenario="refused_output")
    assert isinstance(drawn(stub, client, provider=provider), OutputRefused)


@pytest.mark.parametrize("scenario", ["expired", "foreign"])
def test_a_provider_with_addresses(scenario: str, stub: Stub, stranger: Stub, client: Client) -> None:
    """They are fetched without the key, and not from everywhere."""
    stub.behave("huggingface", scenario=scenario, foreign=f"{stranger.url}/elsewhere")
    assert isinstance(drawn(stub, client, provider="fal-ai"), SourceError)
    assert not stranger.strangers()
    assert stub.seen("huggingface")["keys_leaked"] == 0


def test_a_model_that_is_loading_says_for_how_long(stub: Stub, client: Client) -> None:
    """It is not there now, and may be later; nothing was ordered."""
    result = drawn(stub, client, provider_model="some/loading")
    assert isinstance(result, SourceUnavailable)
    assert str(result) == "Hugging Face is still loading the model, for another 20 seconds."
    assert (result.permanent, stub.billed()["huggingface"]) == (False, 0)


def test_an_unknown_provider_is_a_mistake_in_the_file(stub: Stub, client: Client) -> None:
    """And the sentence names those there are."""
    with pytest.raises(ConfigurationError, match="hf-inference, fal-ai, together, nscale"):
        drawn(stub, client, provider="replicate")
