"""fal's own client, against the stub."""

from collections.abc import Iterator
from io import BytesIO

import fal_client
import fal_client.client
import httpx
import pytest
from fal_client.client import FalClientHTTPError
from PIL import Image

from stub_vendors import Stub

MODEL = "fal-ai/flux/dev"
WANTED = {"prompt": "a hat", "seed": 5, "image_size": "square_hd"}


@pytest.fixture
def client(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    """The client has only an option for a host behind https; it follows the addresses of the responses."""
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", stub.base_url("fal", "/"))
    client = fal_client.SyncClient(key="stub-key-of-fal")
    yield client
    client._client.close()


def test_a_generated_image(client: fal_client.SyncClient, stub: Stub) -> None:
    """Submitted, watched, and taken from the address that was named."""
    stub.behave("fal", latency=0.2)
    handle = client.submit(MODEL, WANTED)
    seen = [type(event) for event in handle.iter_events(interval=0.02)]
    assert seen[0] is fal_client.InProgress
    assert seen[-1] is fal_client.Completed
    result = handle.get()
    assert (result["seed"], result["has_nsfw_concepts"]) == (5, [False])
    image = httpx.get(result["images"][0]["url"]).content
    assert Image.open(BytesIO(image)).size == (128, 128)
    assert stub.billed()["fal"] == 1


def test_a_flagged_prompt(client: fal_client.SyncClient, stub: Stub) -> None:
    """It comes with the result, not with the order."""
    stub.behave("fal", scenario="refused_prompt")
    with pytest.raises(FalClientHTTPError) as raised:
        client.subscribe(MODEL, WANTED)
    assert raised.value.status_code == 422
    assert raised.value.message[0]["type"] == "content_policy_violation"  # type: ignore[index]


@pytest.mark.parametrize(("scenario", "status"), [("quota", 403), ("server_error", 500)])
def test_errors(scenario: str, status: int, client: fal_client.SyncClient, stub: Stub) -> None:
    """The client reads what is in `detail`."""
    stub.behave("fal", scenario=scenario)
    with pytest.raises(FalClientHTTPError) as raised:
        client.submit(MODEL, WANTED)
    assert raised.value.status_code == status
    assert raised.value.error_type == ("internal_error" if status == 500 else None)


def test_it_waits_for_a_limit(client: fal_client.SyncClient, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 429 the client tries again: that is all that is known of fal's."""
    monkeypatch.setattr("fal_client.client.time.sleep", lambda seconds: stub.behave("fal"))
    stub.behave("fal", scenario="rate_limited")
    assert client.submit(MODEL, WANTED).request_id


def test_a_wrong_key(stub: Stub, client: fal_client.SyncClient) -> None:
    """An invalid parameter is refused, as by the vendor."""
    other = fal_client.SyncClient(key="another")
    with pytest.raises(FalClientHTTPError) as raised:
        other.submit(MODEL, WANTED)
    other._client.close()
    assert raised.value.status_code == 401
