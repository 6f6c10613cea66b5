"""Where fal differs from the rest."""

import json

import pytest

from attribution.errors import OutputRefused, PromptRefused, QuotaExhausted, SourceError, SourceTimeout
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendor import StillGenerating, VendorImage
from attribution.resynthesis.remote.vendors.fal import Fal
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.fal import CONTRACT
from tests.attribution.resynthesis.remote.generation import RecordingGate, generate, generator_of

VENDOR = Fal("fal-ai/flux/dev")
TASK = "https://queue.fal.run/a/b/requests/1/status https://queue.fal.run/a/b/requests/1"


def response(http: int = 200, /, **members: object) -> HttpResponse:
    """A response with this JSON."""
    return HttpResponse(http, {}, json.dumps(members).encode())


def test_an_interrupted_order_is_taken_up_by_its_two_addresses(stub: Stub, client: HttpClient) -> None:
    """The task contains both addresses, and a resumed poll submits nothing."""
    stub.behave("fal", latency=0.8)
    gate = RecordingGate()
    assert isinstance(generate(generator_of(CONTRACT, stub, client), gate, seconds=0.4), SourceTimeout)
    (task,) = gate.submitted_tasks
    status, response = task.split(" ")
    assert status == f"{response}/status"
    assert isinstance(generate(generator_of(CONTRACT, stub, client), RecordingGate(task)), GeneratedImage)
    assert stub.counts("fal")["orders"] == 1


def test_the_response_address_is_followed_as_carefully(stub: Stub, foreign_host: Stub, client: HttpClient) -> None:
    """If only the response address is foreign, the key is not sent there either."""
    generated = RecordingGate()
    assert isinstance(generate(generator_of(CONTRACT, stub, client), generated), GeneratedImage)
    status, _, _ = generated.submitted_tasks[0].partition(" ")
    result = generate(generator_of(CONTRACT, stub, client), RecordingGate(f"{status} {foreign_host.url}/elsewhere"))
    assert "not its own" in str(result)
    assert not foreign_host.unknown_requests()


def test_statuses() -> None:
    """A queued task is polled again; a completed one is fetched from its response address immediately."""
    for status in ("IN_QUEUE", "IN_PROGRESS"):
        assert VENDOR.parse_poll(response(202, status=status), TASK) == StillGenerating(TASK)
    assert VENDOR.parse_poll(response(status="COMPLETED"), TASK) == StillGenerating(TASK.split(" ")[1], 0.0)
    with pytest.raises(SourceError):
        VENDOR.parse_poll(response(status="LOST"), TASK)


def test_an_expanded_prompt_is_recorded() -> None:
    """The prompt and the seed of the response are recorded."""
    found = response(images=[{"url": "https://x/1"}], seed=3, prompt="a hat, cinematic")
    assert VENDOR.parse_poll(found, "https://x") == [VendorImage("https://x/1", 3, "a hat, cinematic")]


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("User is locked. Reason: Exhausted balance. Top up your balance.", QuotaExhausted),
        ([{"loc": ["body", "prompt"], "type": "content_policy_violation"}], PromptRefused),
        ([{"loc": ["body"], "type": "content_policy_violation"}], OutputRefused),
        ([{"loc": ["body", "seed"], "type": "value_error"}], None),
        ("Unauthorized", None),
        (None, None),
    ],
)
def test_what_errors_mean(detail: object, kind: type[SourceError] | None) -> None:
    """Without a known code, the status decides."""
    found = VENDOR.failure(response(422, detail=detail))
    assert (None if found is None else type(found)) is kind
