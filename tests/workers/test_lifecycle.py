"""Sources that are gone, going, or never could be called, from the upload to the answer."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.access import key_repository
from app.access.identity import Scope
from app.access.key_repository import make_key
from app.api import create_app
from app.db.models import DEFAULT_TENANT, Stage
from app.queue.steps import Role, stage_step
from tests.app.images import encoded
from tests.workers.harness import Bench
from workers.startup import warm_up

SOON = (datetime.now(UTC) + timedelta(days=3)).date()
LIFE = {
    "going": f'state = "deprecated"\nuntil = {SOON}\nsuccessor = "here"',
    "gone": 'state = "retired"\nsince = 2026-05-12\nsuccessor = "here"',
    "shut": 'state = "no_api"\nnote = "Shut works in a browser only."',
}
WARNING = f"going will be switched off on {SOON}. Its successor is here."


@pytest.fixture
def here(bench: Callable[..., Bench]) -> Bench:
    """A worker over a live source, a deprecated, a retired and an unreachable one; the last two are disabled."""
    # The file's last table is [limits].
    lives = {name: f"[lifecycle]\n{life}" for name, life in LIFE.items()}
    return bench({"here": "", **lives}, disabled=("gone", "shut"))


@contextmanager
def api(here: Bench) -> Iterator[TestClient]:
    """The API over the worker's stores and catalog."""
    new = make_key()
    with here.process.storage.database.transaction() as session:
        key_repository.insert(session, DEFAULT_TENANT, new, "test", Scope, None, None)
    with TestClient(create_app(here.process.settings), headers={"Authorization": f"Bearer {new.text}"}) as client:
        yield client


def answered(here: Bench, **options: Any) -> dict[str, Any]:
    """The document of a job that was uploaded and worked off."""
    with api(here) as client:
        accepted = client.post("/attribute", files={"image": ("x.png", encoded(), "image/png")}, data=options)
        assert accepted.status_code == 202, accepted.text
        here.broker.enqueue([stage_step(Stage.SCREENING, uuid.UUID(accepted.json()["id"]))])
        here.run()
        document: dict[str, Any] = client.get(accepted.headers["location"]).json()
    return document


def test_a_named_source_that_is_retired_has_a_reason(here: Bench):
    """Disabled or not; it has no generated images and no place in the ranking, and the others are ranked."""
    job = answered(here, sources="here,gone,shut,going", images_per_source="1")
    assert job["status"] == "succeeded"
    sources = {source["source"]: (source["state"], source["reason"], source["warning"]) for source in job["sources"]}
    assert sources == {
        "going": ("done", None, WARNING),
        "gone": ("retired", "gone was switched off on 2026-05-12. Its successor is here.", None),
        "here": ("done", None, None),
        "shut": ("no_api", "Shut works in a browser only.", None),
    }
    assert {entry["source"] for entry in job["result"]["ranking"]} == {"going", "here"}
    assert all(source["generated_images"] == [] for source in job["sources"] if source["state"] != "done")


def test_a_disabled_source_that_is_gone_is_in_no_job_that_does_not_name_it(here: Bench):
    """It would count for the quorum, and be reported in every result."""
    job = answered(here, images_per_source="1")
    assert [source["source"] for source in job["sources"]] == ["going", "here"]
    assert job["result"]["quorum"] == 2


def test_a_job_on_nothing_but_sources_that_are_gone_ends_without_a_ranking(here: Bench):
    """A job does not wait for a queue that no worker consumes."""
    job = answered(here, sources="gone,shut")
    assert (job["status"], job["result"]["ranking"]) == ("succeeded", [])
    assert (job["result"]["verdict"]["kind"], job["result"]["verdict"]["reason"]) == ("inconclusive", "no_quorum")


@pytest.mark.usefixtures("fresh_startup_log")
def test_a_worker_that_starts_warns_of_its_sources(bench: Callable[..., Bench]):
    """Of those it would ask: enabled ones, of its roles."""
    lives = {name: f"[lifecycle]\n{life}" for name, life in LIFE.items()}
    process = bench({"here": "", **lives}, disabled=("shut",)).process
    with capture_logs() as lines:
        warm_up(process.models, [Role.REMOTE])
    said = {line["source"]: line for line in lines if line["log_level"] == "warning"}
    assert said.keys() == {"going", "gone"}
    assert (said["going"]["event"], said["going"]["warning"]) == ("source_deprecated", WARNING)
    assert (said["gone"]["event"], said["gone"]["state"]) == ("source_not_tested", "retired")
    with capture_logs() as lines:
        warm_up(process.models, [Role.CAPTION])
    assert not [line for line in lines if line["log_level"] == "warning"]


def test_nothing_is_loaded_for_a_local_source_that_is_gone(bench: Callable[..., Bench]):
    """Its weights may be gone too, and a worker that loads them would not start."""
    gone = '[lifecycle]\nstate = "retired"\nsince = 2026-05-12'
    process = bench({"here": "", "gone": gone}, platform="local").process
    assert [source.id for source in process.models.local_sources()] == ["here"]
    warm_up(process.models, [Role.LOCAL])


def test_only_sources_that_can_be_tested_need_workers(bench: Callable[..., Bench]):
    """An enabled source without an API does not make a service wait for a worker that generates remotely."""
    here = bench({"shut": f"[lifecycle]\n{LIFE['shut']}"})
    with api(here) as client:
        warm = client.get("/readyz").json()["checks"]["workers"]["warm"]
    assert warm.keys() == {"light", "caption", "embed"}
