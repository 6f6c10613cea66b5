"""Remote captioners: paid from the job's budget, recorded with the job, and reported."""

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api import create_app
from app.db.models import JobStatus, Stage
from app.queue.steps import stage_task_name
from stub_vendors import Stub, serve
from tests.app.images import encoded
from tests.workers.harness import Bench

KEY = "stub-key-of-openai"
VLM = {"captioner": "vlm"}


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """One server for all of these tests."""
    with serve() as running:
        yield running


@pytest.fixture
def here(bench: Callable[..., Bench], stub: Stub) -> Bench:
    """A worker whose jobs may be described by a model at the stub, for a cent."""
    stub.reset()
    stub.behave()
    spec = f"vlm:gpt-5-mini?base_url={stub.base_url('openai', '/v1')}&price_usd=0.01&timeout=5"
    models = {"captioner": "fake:", "captioners": {"vlm": spec}, "embedder": "fake:", "calibrations": []}
    return bench({"a": "", "b": ""}, models=models, vendor_keys={"vlm": KEY})


def ended(here: Bench, **options: Any) -> Any:
    """The document of a job once nothing is left to do."""
    job_id = here.submit(**dict[str, Any](method_options=VLM, budget_usd=Decimal(1)) | options)
    here.run()
    return here.document(job_id)


def test_it_is_described_elsewhere(here: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The answer names the model, the call stands in `spend`, and the key nowhere."""
    with caplog.at_level(logging.DEBUG):
        job = ended(here)
    assert (job.status, job.result.caption) == (JobStatus.SUCCEEDED, "an image in red")
    assert job.result.captioner.startswith("vlm/gpt-5-mini@sha256:")
    (call,) = job.spend.calls
    assert call.model_dump() == {
        "source": "vlm",
        "sent": "image",
        "external": True,
        "calls": 1,
        "images": 0,
        "usd": 0.01,
        "unsettled": 0,
    }
    assert job.spend.usd == 0.01
    assert KEY not in caplog.text + job.model_dump_json()


@pytest.mark.parametrize(
    ("scenario", "problem", "says", "usd"),
    [
        ("withheld", "caption-refused", "Give a prompt", 0.01),
        ("refused_prompt", "caption-refused", "Give a prompt", 0.0),
        ("server_error", "captioner-unavailable", "at the moment", 0.0),
    ],
)
def test_without_a_description_the_job_ends(
    here: Bench, stub: Stub, scenario: str, problem: str, says: str, usd: float
) -> None:
    """As failed, with a type of its own for a refusal, once, and with what was billed."""
    stub.behave("openai", scenario=scenario)
    job = ended(here)
    assert (job.status, job.error["type"], job.spend.usd) == (JobStatus.FAILED, f"/problems/{problem}", usd)
    assert says in job.error["detail"]
    assert job.spend.calls[0].unsettled == 0
    assert {source.state for source in job.sources} == {"pending"}


def test_a_call_beyond_the_budget_is_not_made(here: Bench, stub: Stub) -> None:
    """Nor is anybody whom the image must not be sent to; the default captioner, and a prompt, cost nothing."""
    for options, says in (({"budget_usd": Decimal("0.005")}, "budget"), ({"local_only": True}, "local only")):
        job = ended(here, **options)
        assert job.error["type"] == "/problems/captioner-unavailable"
        assert says in job.error["detail"]
    others: tuple[dict[str, Any], ...] = ({"method_options": {}}, {"prompt": "a hat"})
    for without in others:
        assert ended(here, budget_usd=Decimal(0), **without).status == JobStatus.SUCCEEDED
    assert stub.counts("openai")["orders"] == 0


def test_a_remote_caption_has_a_message_of_its_own(here: Bench) -> None:
    """The worker that screens also captions, and enqueues a message for a captioner that waits for a service."""
    captioning = stage_task_name(Stage.CAPTIONING)
    for method_options, seen in (({}, []), (VLM, [captioning])):
        here.submit(method_options=method_options)
        here.run(until=lambda step: step.task == captioning)
        assert [step.task for step in here.broker.steps] == seen


def test_the_api_knows_which_captioners_are_external(here: Bench) -> None:
    """The API lists which captioners are external, and a local-only job is not accepted with one."""
    settings = here.process.settings
    access = settings.access.model_copy(update={"anonymous": True})
    with TestClient(create_app(settings.model_copy(update={"access": access})), base_url="http://localhost") as http:
        offered = http.get("/sources").json()["captioners"]
        assert [(each["name"], each["external"], each["price_usd"]) for each in offered] == [
            ("fake", False, 0.0),
            ("vlm", True, 0.01),
        ]
        options = {"captioner": "vlm", "local_only": "true"}
        refused = http.post("/attribute", files={"image": encoded()}, data=options)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "#/captioner")
        assert http.post("/attribute", files={"image": encoded()}, data={"local_only": "true"}).status_code == 202
