"""Replicate's own client, against the stub."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from PIL import Image
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from stub_vendors import Stub

MODEL = "black-forest-labs/flux-dev"
WANTED = {"prompt": "a hat", "seed": 5, "aspect_ratio": "1:1", "guidance": 3.5}


@pytest.fixture
def client(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Pointed at the stub by its base URL; its paths begin with /v1."""
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.02")
    client = Client(api_token="stub-key-of-replicate", base_url=stub.base_url("replicate"))
    yield client
    client._client.close()


def test_a_generated_image(client: Client, stub: Stub) -> None:
    """Created, waited for, and an address (of which the client makes a file only where it is https)."""
    stub.behave("replicate", latency=0.1)
    prediction = client.models.predictions.create(MODEL, WANTED)
    assert (prediction.status, prediction.output) == ("starting", None)
    prediction.wait()
    assert (prediction.status, prediction.error, prediction.input) == ("succeeded", None, WANTED)
    (address,) = client.run(MODEL, WANTED, wait=False)
    assert Image.open(BytesIO(httpx.get(address).content)).size == (128, 128)
    assert stub.billed()["replicate"] == 2


def test_a_version(client: Client) -> None:
    """Pinned, it is created on the other path."""
    assert client.predictions.create(version="5c7d5dc6", input=WANTED).status == "starting"


def test_a_filter(client: Client, stub: Stub) -> None:
    """The client raises the model's own sentence."""
    stub.behave("replicate", scenario="refused_output")
    with pytest.raises(ModelError, match="NSFW"):
        client.run(MODEL, WANTED, wait=False)


@pytest.mark.parametrize(("scenario", "status"), [("rate_limited", 429), ("quota", 402), ("server_error", 500)])
def test_errors(scenario: str, status: int, client: Client, stub: Stub) -> None:
    """The client finds a detail in each."""
    stub.behave("replicate", scenario=scenario)
    with pytest.raises(ReplicateError) as raised:
        client.models.predictions.create(MODEL, WANTED)
    assert raised.value.status == status
    assert raised.value.detail


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    client = Client(api_token="another", base_url=stub.base_url("replicate"))
    with pytest.raises(ReplicateError) as raised:
        client.models.predictions.create(MODEL, WANTED)
    client._client.close()
    assert raised.value.status == 401
