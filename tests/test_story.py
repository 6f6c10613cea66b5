"""The README's story on the real thing: embedded servers, real workers, the small models, HTTP from outside."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.stack import Stack, stack
from devstack.state import remove
from tests.waiting import wait_until

REPOSITORY = Path(__file__).parents[1]
SAMPLE = REPOSITORY / "zoo" / "samples" / "sample.png"
ENDED = {"succeeded", "failed", "canceled"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole service, warm."""
    state = tmp_path_factory.mktemp("story") / "state"
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DATABASE__URL", "REDIS__URL"):
            environment.delenv(name, raising=False)
        with stack(state) as running:
            running.wait_until_warm()
            yield running
    remove(state)


@pytest.fixture
def http(service: Stack) -> Iterator[httpx.Client]:
    """A client of it."""
    headers = {"Authorization": f"Bearer {service.create_key('story')}"}
    with httpx.Client(base_url=service.base_url, timeout=30, headers=headers) as client:
        yield client


def attribute(http: httpx.Client, **options: str) -> str:
    """Uploads the sample; returns where to poll."""
    answer = http.post("/attribute", files={"image": SAMPLE.read_bytes()}, data=options)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def ended(http: httpx.Client, location: str, patience: float = 300) -> dict[str, Any]:
    """Polls to the end."""

    def job_that_ended() -> dict[str, Any] | None:
        job: dict[str, Any] = http.get(location).json()
        return job if job["status"] in ENDED else None

    return wait_until(job_that_ended, patience, every=0.2)


def ranking(job: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """Sources and their distances, nearest first."""
    assert job["status"] == "succeeded", job["error"]
    return [(entry["source"], entry["distances"]) for entry in job["result"]["ranking"]]


def test_an_uploaded_image_comes_back_with_a_ranking(http: httpx.Client) -> None:
    """Upload, poll, read: every enabled source has generated, and the answer says how sure it may be."""
    enabled = [source["id"] for source in http.get("/sources").json()["sources"] if source["enabled"]]
    job = ended(http, attribute(http))
    assert [source["source"] for source in job["sources"]] == enabled
    assert {source["state"] for source in job["sources"]} == {"done"}
    result = job["result"]
    matches, probabilities = ([entry[name] for entry in result["ranking"]] for name in ("match", "probability"))
    assert len(matches) == len(enabled) >= 4
    assert matches == sorted(matches, reverse=True)
    assert sum(probabilities) == pytest.approx(1)
    assert set(result["estimate"]["jobs"]) == set(enabled)
    distances = sorted(entry["distance"] for entry in result["ranking"])
    assert result["margin"] == pytest.approx(distances[1] - distances[0])
    assert result["verdict"]["reason"] != "uncalibrated"
    assert result["caption"].split()


def test_what_is_no_image_is_refused_with_a_problem(http: httpx.Client) -> None:
    """A wrong file gets a problem document that says what to do."""
    answer = http.post("/attribute", files={"image": b"To be, or not to be"})
    assert answer.status_code == 415
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unsupported-image"


def test_a_killed_worker_changes_nothing(service: Stack, http: httpx.Client) -> None:
    """`kill -9` of the processes that generate, in the middle of it: the same ranking."""
    calm = ended(http, attribute(http, images_per_source="2", cache="false", method="cosine"))
    location = attribute(http, images_per_source="2", cache="false", method="cosine")
    wait_until(lambda: any(source["state"] == "running" for source in http.get(location).json()["sources"]))
    generating = [name for name in service.supervisor.names() if name.startswith("worker-models")]
    for name in generating:
        pid = service.supervisor.pid(name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    disturbed = ended(http, location)
    assert [service.supervisor.starts(name) for name in generating] == [2] * len(generating)
    for (one, distances), (other, same) in zip(ranking(calm), ranking(disturbed), strict=True):
        assert one == other
        assert distances == pytest.approx(same, abs=1e-4)
