"""Leonardo's own client against the stub."""

from collections.abc import Iterator

import httpx
import pytest
from leonardo_ai_sdk import LeonardoAiSDK
from leonardo_ai_sdk.models import errors, shared
from leonardo_ai_sdk.models.operations import CreateGenerationRequestBody

from stub_vendors import Stub

# Its defaults ask for four images, in a style.
HAT = CreateGenerationRequestBody(
    prompt="a hat", model_id="m", num_images=1, width=512, height=512, seed=7, enhance_prompt=False, public=False
)


@pytest.fixture
def client(stub: Stub) -> Iterator[LeonardoAiSDK]:
    """The client with the stub as its base URL."""
    with LeonardoAiSDK("stub-key-of-leonardo", server_url=stub.base_url("leonardo", "/api/rest/v1")) as client:
        yield client


def test_a_generated_image(client: LeonardoAiSDK, stub: Stub) -> None:
    """Ordered, polled and downloaded as the client does it; the request it makes is one that the stub takes whole."""
    ordered = client.image.create_generation(request=HAT).object
    assert ordered is not None
    assert ordered.sd_generation_job is not None
    task = ordered.sd_generation_job.generation_id
    assert isinstance(task, str)
    response = client.image.get_generation_by_id(id=task).object
    assert response is not None
    generation = response.generations_by_pk
    assert generation
    assert (generation.status, generation.seed, generation.prompt) == (shared.JobStatus.COMPLETE, 7, "a hat")
    assert generation.generated_images
    (image,) = generation.generated_images
    assert image.nsfw is False
    assert image.url
    assert httpx.get(image.url).headers["content-type"] == "image/png"
    assert stub.billed()["leonardo"] == 1


@pytest.mark.parametrize(
    ("scenario", "status"), [("refused_prompt", 400), ("rate_limited", 429), ("quota", 400), ("server_error", 500)]
)
def test_errors(scenario: str, status: int, client: LeonardoAiSDK, stub: Stub) -> None:
    """The client raises its error with the status."""
    stub.behave("leonardo", scenario=scenario)
    with pytest.raises(errors.SDKError) as raised:
        client.image.create_generation(request=HAT)
    assert raised.value.status_code == status


def test_a_wrong_key(stub: Stub) -> None:
    """An invalid parameter is refused, as by the vendor."""
    with (
        LeonardoAiSDK("another", server_url=stub.base_url("leonardo", "/api/rest/v1")) as client,
        pytest.raises(errors.SDKError) as raised,
    ):
        client.image.create_generation(request=HAT)
    assert raised.value.status_code == 401
