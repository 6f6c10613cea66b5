"""Cached results: used for the same file and the same request, unless something has changed since."""

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select, text, update

from app.api import create_app
from app.cache import results
from app.db.models import DEFAULT_TENANT, BlobReference, Job, JobStatus, Stage, WebhookDelivery
from app.queue.steps import Role, stage_step
from tests.app.egress.site import reply, serve
from tests.workers.harness import Bench
from tests.workers.screening.conftest import Screened, noise_image
from tests.workers.test_cached_images import calls, drop
from workers.startup import record_pipeline
from workers.sweep import delete_expired

Make = Callable[..., Bench]
TWO = {"a": "", "b": ""}
IMAGE = noise_image(1)
FAKES = {"captioner": "fake:", "embedder": "fake:", "calibrations": []}
Document = dict[str, Any]


class Service:
    """An API and a worker over the same stores."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        settings = bench.process.settings
        access = settings.access.model_copy(update={"anonymous": True, "requests_per_minute": 1_000_000})
        self.http = TestClient(create_app(settings.model_copy(update={"access": access})), base_url="http://localhost")
        here = bench.process
        record_pipeline(here.settings, here.storage.database, here.models, [Role.CAPTION, Role.EMBED])

    def post(self, image: Image.Image = IMAGE, headers: dict[str, str] | None = None, **options: Any) -> Document:
        """The document in the response of POST, repeated while the same image is being deleted."""
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files = {"image": ("a.png", buffer.getvalue())}
        answer = self.http.post("/attribute", files=files, data=options, headers=headers)
        deadline = time.monotonic() + 30
        while answer.status_code == 503 and time.monotonic() < deadline:
            answer = self.http.post("/attribute", files=files, data=options, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        document: Document = answer.json()
        return document

    def ended(self, image: Image.Image = IMAGE, **options: Any) -> Document:
        """The job when the workers have run."""
        job = self.post(image, **options)
        if job["stage"] is not None:
            self.bench.broker.enqueue([stage_step(Stage(job["stage"]), uuid.UUID(job["id"]))])
            self.bench.run()
        document: Document = self.http.get(f"/attribute/{job['id']}").json()
        return document


@pytest.fixture
def service(bench: Make) -> Iterator[Callable[..., Service]]:
    """Makes a service over fake sources."""
    opened: list[Service] = []

    def make(sources: dict[str, str] = TWO, **groups: Any) -> Service:
        here = Service(bench(sources, **{"screening": {"refresh": 1e-6}} | groups))
        here.bench.process.storage.redis.flushall()
        here.http.__enter__()
        opened.append(here)
        return here

    yield make
    for each in opened:
        each.http.__exit__(None, None, None)
        each.bench.process.storage.redis.flushall()  # each API took a share of the minute's requests


def test_the_same_file_has_its_result_at_once(service: Callable[..., Service]) -> None:
    """At acceptance, without a worker: its own document, marked, with the same result and images of its own."""
    here = service()
    first = here.ended()
    assert (first["status"], first["cached"]) == ("succeeded", None)
    before = calls()
    second = here.post(external_id="again")
    assert calls() == before
    assert (second["status"], second["stage"]) == ("succeeded", None)
    assert (second["cached"], second["cached_from"]) == ("answer", first["id"])
    assert second["result"] == first["result"]
    assert second["id"] != first["id"]
    assert second["external_id"] == "again"
    assert all(source["cached"] for source in second["sources"])
    assert [source["seeds"] for source in second["sources"]] == [source["seeds"] for source in first["sources"]]
    assert here.http.get(f"/attribute/{second['id']}").json() == second
    here.bench.process.storage.redis.flushall()
    assert here.http.get(f"/attribute/{second['id']}").json() == second
    for path in [second["query_image"], *(each for source in second["sources"] for each in source["generated_images"])]:
        assert here.http.get(path).status_code == 200
    events = here.http.get(f"/attribute/{second['id']}/events").text
    assert "event: completed" in events


def test_a_waiting_client_gets_the_ended_job(service: Callable[..., Service]) -> None:
    """200 for `Prefer: wait`, at once; 202 otherwise, as a client expects that does not know of the cache."""
    here = service()
    here.ended()
    buffer = io.BytesIO()
    IMAGE.save(buffer, "PNG")
    files = {"image": ("a.png", buffer.getvalue())}
    waited = here.http.post("/attribute", files=files, headers={"Prefer": "wait=60"})
    assert (waited.status_code, waited.headers["Preference-Applied"]) == (200, "wait=60")
    assert waited.json()["cached"] == "answer"
    assert here.http.post("/attribute", files=files).status_code == 202


def test_an_idempotency_key_replays_it(service: Callable[..., Service]) -> None:
    """One job, however often it is sent."""
    here = service()
    here.ended()
    first = here.post(headers={"Idempotency-Key": "one"})
    assert first["cached"] == "answer"
    assert here.post(headers={"Idempotency-Key": "one"}) == first


@pytest.mark.parametrize(
    "differs",
    [
        *({"images_per_source": "3"}, {"seed": "1"}, {"prompt": "a goat"}, {"sources": "a"}, {"exclude": "b"}),
        *(
            {"method": "cosine"},
            {"policy": "closed"},
            {"budget": "fixed"},
            {"distance": "ssim"},
            {"aggregate": "max"},
            {"external_scores": '{"a": 1}'},
            {"cache": "false"},
        ),
    ],
    ids=str,
)
def test_another_request_is_another_key(service: Callable[..., Service], differs: dict[str, Any]) -> None:
    """Each option that can change the result is part of the key; the same request again uses the cached result."""
    here = service()
    here.ended()
    assert here.ended(**differs)["cached"] != "answer"
    assert (here.post(**differs)["cached"] == "answer") == (differs != {"cache": "false"})


def test_captioners_do_not_share_results(service: Callable[..., Service]) -> None:
    """A job gets the cached result of a job with the captioner that it names, as long as that is the same model."""
    here = service(models=FAKES | {"captioners": {"other": "fake:prefix=something"}})
    usual, other = here.ended(), here.ended(captioner="other")
    assert (usual["result"]["captioner"], other["result"]["captioner"]) == (
        "fake-captioner@1",
        "fake-captioner@something",
    )
    assert usual["caption"] != other["caption"]
    assert other["cached"] is None
    requests: tuple[tuple[dict[str, Any], Document], ...] = (({}, usual), ({"captioner": "other"}, other))
    for options, first in requests:
        again = here.post(**options)
        assert (again["cached"], again["cached_from"], again["result"]) == ("answer", first["id"], first["result"])
    with here.bench.process.storage.database.transaction() as session:
        results.upsert_fingerprint(session, results.caption_part("other"), "a new one")
    assert here.post()["cached"] == "answer"
    assert here.post(captioner="other")["cached"] is None


def test_the_prompt_as_sent_is_reported(service: Callable[..., Service]) -> None:
    """A source that takes few characters is sent the first words, and the result shows them; also from the cache."""
    here = service(limits="max_prompt_chars = 12")
    for _ in range(2):
        job = here.ended()
        assert job["caption"].startswith("an image in ")
        assert [source["prompts"] for source in job["sources"]] == [["an image in"] * job["images_per_source"]] * 2


def test_embedders_share_generated_images_and_not_results(service: Callable[..., Service]) -> None:
    """Images are generated once; each embedder has its own vectors and its own cached results."""
    here = service(models=FAKES | {"embedders": {"coarse": "fake:levels=2"}})
    usual, coarse = here.ended(), here.ended(embedder="coarse")
    assert (usual["result"]["embedder"], coarse["result"]["embedder"]) == (
        "fake-embedder@1",
        "fake-embedder@2-levels",
    )
    assert coarse["cached"] == "generated_images"
    assert [len(each["result"]["ranking"]) for each in (usual, coarse)] == [2, 2]
    assert usual["result"]["ranking"] != coarse["result"]["ranking"]
    requests: tuple[tuple[dict[str, Any], Document], ...] = (({}, usual), ({"embedder": "coarse"}, coarse))
    for options, first in requests:
        again = here.post(**options)
        assert (again["cached"], again["cached_from"], again["result"]) == ("answer", first["id"], first["result"])
    with here.bench.process.storage.database.transaction() as session:
        results.upsert_fingerprint(session, results.rank_part("coarse"), "a new one")
    assert here.post()["cached"] == "answer"
    assert here.post(embedder="coarse")["cached"] is None


def test_an_embedder_that_a_worker_lacks_ends_the_job(service: Callable[..., Service]) -> None:
    """The API's settings have it, the worker's do not: the sentence says so."""
    here = service()
    job_id = here.bench.submit(method_options={"embedder": "other"})
    here.bench.run()
    error = here.bench.document(job_id).error
    assert error is not None
    assert "no embedder called other" in error["detail"]


def test_thresholds_hold_for_the_default_captioner(service: Callable[..., Service], tmp_path: Path) -> None:
    """Another captioner's results are uncalibrated; with a prompt the captioner does not matter."""
    entry = {
        "embedder": "fake-embedder@1",
        "distance": "cosine",
        "images_per_source": 1,
        "max_distance": 2,
        "min_margin": 0,
    }
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps({"schema": 1, "entries": [entry | {"sources": {"a": "1", "b": "1"}}]}))
    here = service(models=FAKES | {"captioners": {"other": "fake:prefix=something"}, "calibrations": [file]})
    said = [
        here.ended(**dict[str, Any](images_per_source="1", distance="cosine") | options)["result"]["verdict"]
        for options in ({}, {"captioner": "fake"}, {"captioner": "other"}, {"prompt": "a red thing"})
    ]
    assert [verdict["reason"] for verdict in said] == [None, None, "uncalibrated", None]


def test_a_captioner_that_a_worker_lacks_ends_the_job(service: Callable[..., Service]) -> None:
    """The API's settings have it, the worker's do not: the sentence says so."""
    here = service()
    job_id = here.bench.submit(method_options={"captioner": "other"})
    here.bench.run()
    error = here.bench.document(job_id).error
    assert error is not None
    assert "no captioner called other" in error["detail"]


def test_another_file_is_another_key(service: Callable[..., Service]) -> None:
    """Even with the same pixels: the file's evidence is part of the result."""
    here = service()
    here.ended()
    again = here.ended(IMAGE.resize((160, 120)))
    assert again["cached"] == "generated_images"
    assert again["result"]["ranking"] != here.post()["result"]["ranking"]


@pytest.mark.parametrize("part", [results.caption_part(), results.rank_part()])
def test_another_pipeline_uses_no_cached_result(service: Callable[..., Service], part: str) -> None:
    """A cached result is used only if the active captioner and ranking are those that it was computed with."""
    here = service()
    here.ended()
    with here.bench.process.storage.database.transaction() as session:
        results.upsert_fingerprint(session, part, "another")
    assert here.ended()["cached"] == "generated_images"
    if part == results.caption_part():
        here.ended(prompt="a goat")
        assert here.post(prompt="a goat")["cached"] == "answer"  # nothing was captioned


def test_after_its_time_it_is_computed_anew(service: Callable[..., Service]) -> None:
    """Its age counts from its computation and from its oldest image, not from its last use."""
    here = service(cache={"ttl": timedelta(hours=1)})
    here.ended()
    age(here, 40)
    assert here.post()["cached"] == "answer"
    age(here, 40)
    assert here.ended()["cached"] is None


def age(here: Service, minutes: int) -> None:
    """Makes everything older."""
    by = timedelta(minutes=minutes)
    with here.bench.process.storage.database.transaction() as session:
        session.execute(
            update(Job).values(completed_at=Job.completed_at - by, result_computed_at=Job.result_computed_at - by)
        )
        session.execute(update(BlobReference).values(generated_at=BlobReference.generated_at - by))


def test_an_answer_of_old_generated_images_is_as_old_as_they_are(service: Callable[..., Service]) -> None:
    """A result that uses old images does not prolong their time."""
    here = service(cache={"ttl": timedelta(hours=1)})
    here.ended()
    age(here, 40)
    small = IMAGE.resize((160, 120))
    assert here.ended(small)["cached"] == "generated_images"
    age(here, 40)
    assert here.ended(small)["cached"] is None


def test_a_result_that_lacks_a_source_is_not_cached(service: Callable[..., Service]) -> None:
    """A source that was unavailable may be available now; the images of the others are used."""
    here = service({"a": "", "b": "flaky = 1"})
    assert [source["state"] for source in here.ended()["sources"]] == ["done", "unavailable"]
    again = here.ended()
    assert [source["state"] for source in again["sources"]] == ["done", "done"]
    assert [source["cached"] for source in again["sources"]] == [True, False]
    assert here.post()["cached"] == "answer"


def test_a_refusal_is_part_of_a_cached_result(service: Callable[..., Service]) -> None:
    """Vendors are not called a second time for what they refused."""
    here = service({"a": "", "b": 'fail = "refused_prompt"'})
    first = here.ended()
    again = here.post()
    assert again["cached"] == "answer"
    assert [source["state"] for source in again["sources"]] == ["done", "refused_prompt"]
    assert again["sources"][1]["reason"] == first["sources"][1]["reason"]


def test_an_image_that_is_on_a_list_by_now_is_refused(service: Callable[..., Service]) -> None:
    """The list is newer than the result: the image is screened before the result is used, and refused."""
    here = service()
    here.ended()
    screened(here).ban(IMAGE)
    job = here.ended()
    assert (job["status"], job["error"]["type"]) == ("failed", "/problems/screening-refused")
    assert (job["result"], job["cached"], job["cached_from"]) == (None, None, None)


def test_a_rule_that_the_caption_matches_by_now_refuses_it(service: Callable[..., Service]) -> None:
    """The cached job's caption is screened again."""
    here = service()
    caption = here.ended()["result"]["caption"]
    screened(here).rule("words", caption.split()[-1])
    job = here.ended()
    assert (job["status"], job["error"]["type"]) == ("failed", "/problems/screening-refused")


def test_after_a_change_of_screening_a_worker_uses_the_cached_result(service: Callable[..., Service]) -> None:
    """Acceptance does not: the image has to pass first. The next job's has then passed the active screening."""
    here = service()
    first = here.ended()
    for change in (lambda: screened(here).ban(noise_image(2)), lambda: screened(here).rule("words", "zebra")):
        change()
        waiting = here.post()
        assert (waiting["status"], waiting["cached"], waiting["cached_from"]) == ("queued", None, None)
        before = calls()
        here.bench.broker.enqueue([stage_step(Stage.SCREENING, uuid.UUID(waiting["id"]))])
        here.bench.run()
        assert calls() == before
        ended = here.http.get(f"/attribute/{waiting['id']}").json()
        assert (ended["status"], ended["cached"]) == ("succeeded", "answer")
        assert ended["result"] == first["result"]
        assert here.post()["cached"] == "answer"


def screened(here: Service) -> Screened:
    """The screening helpers of a service's worker."""
    return Screened(here.bench)


class Passing:
    """A hook that counts the images that it checks."""

    checked = 0

    def check_image(self, query: object) -> None:
        """Counts."""
        Passing.checked += 1

    def check_caption(self, caption: object) -> None:
        """Lets it pass."""


passing = Passing()


def test_hooks_screen_every_job(service: Callable[..., Service]) -> None:
    """With a hook, acceptance never uses a cached result; a worker does, after the hook has passed the image."""
    here = service(screening={"refresh": 1e-6, "hooks": [f"{__name__}:passing"]})
    first, checked = here.ended(), Passing.checked
    assert here.post()["status"] == "queued"
    again = here.ended()
    assert (again["cached"], again["cached_from"]) == ("answer", first["id"])
    assert Passing.checked == checked + 1


def test_a_fetched_file_has_its_cached_result(service: Callable[..., Service]) -> None:
    """The key is known when the file is fetched; it is that of the same file uploaded."""
    here = service(egress={"allow": ["127.0.0.1"]})
    first = here.ended()
    buffer = io.BytesIO()
    IMAGE.save(buffer, "PNG")
    with serve() as site:
        site.answers["/a.png"] = reply(buffer.getvalue())
        job_id = here.bench.submit_url(site.url("/a.png"), images_per_source=4)
        before = calls()
        here.bench.run()
    document = here.bench.document(job_id)
    assert calls() == before
    assert (document.status, document.cached, str(document.cached_from)) == ("succeeded", "answer", first["id"])
    assert document.image is not None
    assert document.query_image is not None


def test_a_cached_result_is_notified(service: Callable[..., Service]) -> None:
    """One event is delivered: `completed`."""
    here = service(webhooks={"allow_http": True}, egress={"allow": ["127.0.0.1"]})
    first = here.ended(webhook_url="http://127.0.0.1:9999/hook")
    second = here.post(webhook_url="http://127.0.0.1:9999/hook")
    assert second["cached"] == "answer"
    payloads = {}
    with here.bench.process.storage.database.transaction() as session:
        for row in session.scalars(select(WebhookDelivery).where(WebhookDelivery.type == "attribution.completed")):
            payloads[str(row.job_id)] = row
        only = session.scalars(select(WebhookDelivery.sequence).where(WebhookDelivery.job_id == second["id"])).all()
    assert payloads.keys() == {first["id"], second["id"]}
    assert only == [1]


def test_pixels_have_marks_and_files_have_statements(service: Callable[..., Service]) -> None:
    """The file's evidence is the same; where the file is read again, only findings in pixels are copied."""
    here = service()
    first = here.ended()
    said = {**FINDING, "kind": "exif"}
    mark = {**FINDING, "kind": "watermark", "where": "pixels"}
    with here.bench.process.storage.database.transaction() as session:
        session.execute(update(Job).where(Job.id == first["id"]).values(evidence={"findings": [said, mark]}))
    assert here.post()["evidence"] == [said, mark]
    screened(here).rule("words", "zebra")
    again = here.ended()
    assert (again["cached"], again["evidence"]) == ("answer", [mark])


FINDING: dict[str, Any] = {
    "where": "file",
    "claim": "A claim.",
    "trust": "weak",
    "caveat": "A caveat.",
    "generator": None,
    "model": None,
    "source_type": None,
    "says_ai": False,
    "prompt_present": False,
    "details": {},
}


def test_each_job_is_deleted_by_itself(service: Callable[..., Service]) -> None:
    """A result outlives the job that computed it as long as another job has it."""
    here = service()
    first = here.ended()
    second = here.post()
    assert second["cached"] == "answer"
    assert here.http.delete(f"/attribute/{first['id']}").status_code == 204
    assert here.http.get(f"/attribute/{second['id']}").json()["result"] == first["result"]
    for path in [second["query_image"], *(each for source in second["sources"] for each in source["generated_images"])]:
        assert here.http.get(path).status_code == 200
    third = here.post()
    assert (third["cached"], third["cached_from"]) == ("answer", second["id"])
    for job in (second, third):
        assert here.http.delete(f"/attribute/{job['id']}").status_code == 204
    assert here.bench.stored() == set()
    with here.bench.process.storage.database.transaction() as session:
        rows = session.execute(
            text("SELECT result_key, pipeline_fingerprint, screening_fingerprint, cached_from FROM jobs")
        ).all()
        assert set(rows) == {(None, None, None, None)}
    assert here.ended()["cached"] is None


@pytest.mark.parametrize("deleted", ["images", "captions"])
def test_retention_removes_results_from_the_cache(service: Callable[..., Service], deleted: str) -> None:
    """Neither without its pixels nor without its caption."""
    never = timedelta(days=10_000)
    spans: dict[str, Any] = {"images": never, "captions": never, "results": never} | {deleted: timedelta(minutes=1)}
    here = service(retention=spans)
    here.ended()
    with here.bench.process.storage.database.transaction() as session:
        session.execute(update(Job).values(completed_at=Job.completed_at - timedelta(minutes=2)))
    delete_expired(here.bench.process.storage, here.bench.process.settings.retention)
    assert here.ended()["cached"] is None


def test_open_jobs_are_counted_without_it(service: Callable[..., Service]) -> None:
    """A tenant's limit of open jobs does not count what has ended already."""
    here = service(access={"concurrent_jobs": 1})
    here.ended()
    for _ in range(3):
        assert here.post()["cached"] == "answer"


def test_using_and_deleting_a_cached_result_at_once_agree(service: Callable[..., Service]) -> None:
    """In a hundred races the result is used whole before its job is deleted, or not at all."""
    here = service()
    noise = np.random.default_rng(1)
    with ThreadPoolExecutor(2) as threads:
        for turn in range(100):
            image = Image.fromarray(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            first = here.ended(image, prompt=f"turn {turn}")
            start = Barrier(2)

            def delete(first: Document = first, start: Barrier = start) -> None:
                start.wait()
                drop(here.bench, uuid.UUID(first["id"]))

            def post(image: Image.Image = image, turn: int = turn, start: Barrier = start) -> Document:
                start.wait()
                return here.post(image, prompt=f"turn {turn}")

            deleting, posting = threads.submit(delete), threads.submit(post)
            deleting.result()
            second = posting.result()
            if second["cached"] is None:
                assert second["status"] == "queued"
                here.bench.broker.enqueue([stage_step(Stage.SCREENING, uuid.UUID(second["id"]))])
                here.bench.run()
            job = here.bench.job(uuid.UUID(second["id"]))
            assert job.status == JobStatus.SUCCEEDED
            with here.bench.process.storage.database.transaction() as session:
                used = session.execute(
                    select(BlobReference.role, BlobReference.sha256).where(BlobReference.job_id == job.id)
                ).all()
            assert {role for role, _ in used} >= {"query", "features", "a/0", "b/3"}
            assert all(here.bench.process.storage.blobs.exists(DEFAULT_TENANT, sha256) for _, sha256 in used)
            drop(here.bench, job.id)
    assert here.bench.stored() == set()
