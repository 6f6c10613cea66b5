"""Uploaded reference images in a job: awaited, screened, ranked beside the others."""

import io
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select, text

from app.api import create_app
from app.db.models import DEFAULT_TENANT, BlobReference, JobStatus, Stage, WebhookDelivery
from app.documents import JobDocument
from app.jobs import source_repository
from app.queue.steps import NOTIFY_TASK, REFERENCE_QUEUE, REFERENCES_TASK, sources_step, stage_step
from app.settings import AccessSettings
from app.webhooks.events import EventType
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.image import load
from attribution.method import attribute
from attribution.ports import Deadline, ModelRef, Origin, Reason, SourceState, VerdictKind
from attribution.resynthesis import References
from attribution.resynthesis.fake import FakeGenerator
from tests.workers.harness import Bench
from workers.screening import QueryImage, ScreenedCaption, Screening
from workers.sweep import delete_expired

THREE = {"a": "", "b": "", "c": ""}
RECEIVER = "https://receiver.example/"


def png(image: Image.Image) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def generated(source: str, seed: int) -> bytes:
    """What a fake source generates."""
    generated_image = FakeGenerator(source, ModelRef("fake", "1")).generate("a red square", (seed,), Deadline.after(9))[
        0
    ]
    return png(generated_image.image)


QUERY = generated("b", 99)


class Story:
    """The API over the same stores as a worker process, and what a test does with both."""

    def __init__(self, here: Bench) -> None:
        self.here = here
        settings = here.process.settings.model_copy(update={"access": AccessSettings(anonymous=True)})
        self.api = TestClient(create_app(settings), base_url="http://localhost")

    def submit(self, *files: tuple[str, bytes], **options: Any) -> uuid.UUID:
        """Submits an image, and sends the API's message to the broker of the test."""
        answer = self.api.post("/attribute", files=[("image", QUERY), *files], data=options)
        assert answer.status_code == 202, answer.text
        job_id = uuid.UUID(answer.json()["id"])
        self.here.broker.enqueue([stage_step(Stage.SCREENING, job_id)])
        return job_id

    def run(self) -> None:
        """Runs the workers without webhook deliveries, as no receiver listens."""
        steps = self.here.broker.steps
        while steps:
            step = steps.popleft()
            if step.task != NOTIFY_TASK:
                self.here.deliver(step)

    def upload(self, job_id: uuid.UUID, source: str, *files: bytes) -> int:
        """Uploads references, and sends the API's message; returns the status of the response."""
        sent = [("reference", file) for file in files]
        status = self.api.post(f"/attribute/{job_id}/references/{source}", files=sent).status_code
        if status == 200:
            self.here.broker.enqueue([sources_step(job_id, REFERENCE_QUEUE)])
        return status

    def document(self, job_id: uuid.UUID) -> JobDocument:
        """What a caller reads."""
        return JobDocument.model_validate_json(self.api.get(f"/attribute/{job_id}").content)

    def states(self, job_id: uuid.UUID) -> dict[str, str]:
        """How the sources stand."""
        return {name: row.state for name, row in self.here.sources(job_id).items()}


@pytest.fixture
def story(bench: Callable[..., Bench]) -> Iterator[Callable[..., Story]]:
    """Makes an API and a worker process: `story(THREE, job={"attempts": 1})`."""
    made: list[Story] = []

    def make(catalog: dict[str, str] = THREE, **groups: Any) -> Story:
        flow = Story(bench(catalog, **groups))
        flow.api.__enter__()
        made.append(flow)
        return flow

    yield make
    for flow in made:
        flow.api.__exit__(None, None, None)
        flow.here.process.storage.redis.flushall()


def given(source: str, *seeds: int) -> list[tuple[str, bytes]]:
    """A source's generated images as they come with an image."""
    return [(f"reference[{source}]", generated(source, seed)) for seed in seeds]


def test_a_job_of_references_only_calls_no_source(story: Callable[..., Story]) -> None:
    """It is ranked at once, without the stage in which sources generate; the sources that are there would crash."""
    flow = story({"a": "crash = true", "b": "crash = true", "c": "crash = true"})
    job_id = flow.submit(*given("a", 1, 2), *given("b", 3), sources="", prompt="a red square")
    flow.run()
    document = flow.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    assert set(document.timings) == {"screening", "captioning", "embedding", "ranking"}
    assert document.result is not None
    assert [(entry.source, entry.origin, len(entry.distances)) for entry in document.result.ranking] == [
        ("b", Origin.REFERENCE, 1),
        ("a", Origin.REFERENCE, 2),
    ]
    assert document.result.verdict.reason is Reason.UNCALIBRATED
    assert flow.states(job_id) == {"a": "done", "b": "done"}


def test_references_are_ranked_as_the_method_ranks_them(story: Callable[..., Story]) -> None:
    """Beside generators, with the very distances that `attribute` gives in one go."""
    flow = story()
    job_id = flow.submit(*given("b", 3, 4, 5), prompt="a red square", images_per_source="2")
    flow.run()
    document = flow.document(job_id)
    models = flow.here.process.models
    generators = {source.id: models.generator(source) for source in flow.here.process.models.catalog.sources}
    uploaded = [load(io.BytesIO(file)).image for _, file in given("b", 3, 4, 5)]
    whole = attribute(
        load(io.BytesIO(QUERY)).image,
        captioner=FakeCaptioner(),
        generators=[generators["a"], References("b", uploaded), generators["c"]],
        embedder=FakeEmbedder(),
        distance=distance_named("cosine"),
        images_per_source=2,
        prompt="a red square",
    )
    assert document.result is not None
    assert [(entry.source, entry.distances) for entry in document.result.ranking] == [
        (entry.source, list(entry.distances)) for entry in whole.ranking.entries
    ]
    assert [(each.source, each.origin, each.revision) for each in document.sources] == [
        (each.source, each.origin, each.revision) for each in whole.resyntheses
    ]
    assert document.result.verdict.reason is whole.verdict.reason is Reason.UNCALIBRATED


@pytest.mark.parametrize(("uploaded", "kind"), [(False, VerdictKind.ATTRIBUTED), (True, VerdictKind.INCONCLUSIVE)])
def test_nothing_is_calibrated_for_references(
    story: Callable[..., Story], tmp_path: Path, uploaded: bool, kind: VerdictKind
) -> None:
    """Even where a calibration seems to fit: it is unknown how the caller selected them."""
    entry = {
        "embedder": "fake-embedder@1",
        "distance": "cosine",
        "images_per_source": 1,
        "max_distance": 2,
        "min_margin": 0,
    }
    entries = [entry | {"sources": {"a": "1", "b": revision, "c": "1"}} for revision in ("1", "by-caller")]
    (tmp_path / "calibration.json").write_text(json.dumps({"schema": 1, "entries": entries}))
    models = {"captioner": "fake:", "embedder": "fake:", "calibrations": [tmp_path / "calibration.json"]}
    flow = story(models=models)
    job_id = flow.submit(
        *(given("b", 3) if uploaded else []), prompt="a red square", images_per_source="1", method="cosine"
    )
    flow.run()
    result = flow.document(job_id).result
    assert result is not None
    assert (result.verdict.kind, result.ranking[0].source) == (kind, "b")


def test_a_job_waits_for_awaited_generated_images_and_no_longer(story: Callable[..., Story]) -> None:
    """Its document has the caption; no sweep requeues the source or counts an attempt; the upload lets it continue."""
    flow = story()
    job_id = flow.submit(await_references="a,b", images_per_source="2", webhook_url=RECEIVER)
    flow.run()
    waiting = flow.document(job_id)
    assert (waiting.stage, flow.states(job_id)) == (
        Stage.RESYNTHESIZING,
        {"a": "awaiting_reference", "b": "awaiting_reference", "c": "done"},
    )
    assert waiting.caption is not None
    for _ in range(3):
        flow.here.pass_time(3_600)
        flow.here.sweep()
        assert [step for step in flow.here.broker.steps if step.arguments] == []
    assert flow.here.sources(job_id)["a"].attempt == 0
    assert flow.upload(job_id, "a", generated("a", 1), generated("a", 2), generated("a", 3)) == 200
    flow.run()
    assert flow.states(job_id) == {"a": "done", "b": "awaiting_reference", "c": "done"}
    assert flow.document(job_id).stage == Stage.RESYNTHESIZING
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    flow.run()
    document = flow.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    assert document.result is not None
    assert document.result.caption == waiting.caption
    assert {entry.source: (entry.origin, len(entry.distances)) for entry in document.result.ranking} == {
        "a": (Origin.REFERENCE, 3),
        "b": (Origin.REFERENCE, 1),
        "c": (Origin.GENERATOR, 2),
    }
    assert document.result.ranking[0].source == "b"
    with flow.here.process.storage.database.transaction() as session:
        rows = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.sequence)).all()
    payloads = [json.loads(row.payload)["data"] for row in rows if row.type == EventType.SOURCE_FINISHED]
    assert [(each["source"]["source"], each["source"]["origin"]) for each in payloads] == [
        ("c", "generator"),
        ("a", "reference"),
        ("b", "reference"),
    ]


def past_deadline(flow: Story, seconds: float) -> None:
    """Lets the deadline have passed so long ago."""
    with flow.here.process.storage.database.transaction() as session:
        session.execute(
            text("UPDATE jobs SET deadline_at = now() - make_interval(secs => :seconds)"), {"seconds": seconds}
        )


def test_at_the_deadline_the_job_ranks_what_it_has(story: Callable[..., Story]) -> None:
    """A reference that was not uploaded is a `timeout` with a sentence of its own, and notified as finished."""
    flow = story()
    job_id = flow.submit(await_references="b", webhook_url=RECEIVER)
    flow.run()
    past_deadline(flow, 0.001)
    flow.here.sweep()
    flow.run()
    document = flow.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    late = next(source for source in document.sources if source.source == "b")
    assert (late.state, late.references) == (SourceState.TIMEOUT, None)
    assert late.reason == "No reference images of this source were uploaded before the job's deadline."
    assert document.result is not None
    assert {entry.source for entry in document.result.ranking} == {"a", "c"}
    with flow.here.process.storage.database.transaction() as session:
        rows = session.scalars(select(WebhookDelivery).where(WebhookDelivery.type == EventType.SOURCE_FINISHED)).all()
    assert "b" in [json.loads(row.payload)["data"]["source"]["source"] for row in rows]
    assert flow.upload(job_id, "b", generated("b", 1)) == 409


@pytest.mark.parametrize(("seconds", "state"), [(1, SourceState.DONE), (25, SourceState.TIMEOUT)])
def test_what_came_in_time_may_still_be_screened(
    story: Callable[..., Story], seconds: float, state: SourceState
) -> None:
    """For some seconds after the deadline; then the job goes on without."""
    flow = story()
    job_id = flow.submit(await_references="b,c")
    flow.run()
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    past_deadline(flow, seconds)
    flow.here.sweep()
    assert flow.states(job_id)["c"] == SourceState.TIMEOUT
    flow.run()
    document = flow.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    assert flow.states(job_id)["b"] == state


def test_uploaded_references_survive_a_worker(story: Callable[..., Story]) -> None:
    """After a lost message or a worker's death the source is requeued, to the queue of screening."""
    flow = story()
    job_id = flow.submit(await_references="b")
    flow.run()
    flow.here.broker.steps.clear()
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    flow.here.broker.steps.clear()
    flow.here.pass_time(60)
    flow.here.sweep()
    settings = flow.here.process.settings.job
    with flow.here.process.storage.database.statement() as session:
        assert source_repository.claim_in_queue(session, job_id, REFERENCE_QUEUE, settings.lease, settings.attempts)
    flow.run()
    assert flow.states(job_id)["b"] == SourceState.RUNNING
    flow.here.pass_time(60)
    flow.here.sweep()
    assert [step.queue for step in flow.here.broker.steps if step.task == REFERENCES_TASK] == [REFERENCE_QUEUE]
    flow.run()
    assert flow.document(job_id).status is JobStatus.SUCCEEDED
    assert flow.here.sources(job_id)["b"].attempt == 2


def test_references_that_crash_screening_are_not_ranked(story: Callable[..., Story]) -> None:
    """Unlike a failed vendor's earlier images these were not screened."""
    flow = story(job={"attempts": 1})
    job_id = flow.submit(await_references="b")
    flow.run()
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    flow.here.broker.steps.clear()
    with flow.here.process.storage.database.statement() as session:  # by a worker that dies
        assert source_repository.claim_in_queue(
            session, job_id, REFERENCE_QUEUE, flow.here.process.settings.job.lease, 1
        )
    flow.here.pass_time(60)
    flow.here.sweep()
    flow.run()
    row = flow.here.sources(job_id)["b"]
    assert (row.state, row.reason) == (SourceState.ERROR, "Screening its reference images ended abnormally 1 times.")
    assert flow.document(job_id).status is JobStatus.SUCCEEDED


class Failing:
    """A hook that cannot judge generated images of a job that has a caption."""

    def check_image(self, query: QueryImage) -> None:
        """Fails."""
        raise RuntimeError("unavailable")

    def check_caption(self, caption: ScreenedCaption) -> None:
        """Has no opinion."""


def test_what_cannot_be_screened_is_not_ranked(story: Callable[..., Story]) -> None:
    """After the last attempt the source ends as an error with a sentence, and the job goes on without it."""
    flow = story(job={"attempts": 2})
    job_id = flow.submit(await_references="b")
    flow.run()
    object.__setattr__(flow.here.process, "screening", Screening([Failing()]))
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    flow.run()
    assert flow.states(job_id)["b"] == SourceState.PENDING
    flow.here.pass_time(60)
    flow.here.sweep()
    flow.run()
    document = flow.document(job_id)
    row = next(source for source in document.sources if source.source == "b")
    assert (row.state, row.reason) == (
        SourceState.ERROR,
        "Its generated images could not be screened; the operator's log says why. Submit the image again later.",
    )
    assert document.status is JobStatus.SUCCEEDED
    assert document.result is not None
    assert {entry.source for entry in document.result.ranking} == {"a", "c"}


def test_a_canceled_job_takes_nothing_in(story: Callable[..., Story]) -> None:
    """References uploaded before stay with the job until it is deleted, and their message has no effect."""
    flow = story()
    job_id = flow.submit(await_references="b,c")
    flow.run()
    assert flow.upload(job_id, "b", generated("b", 1)) == 200
    assert flow.api.post(f"/attribute/{job_id}/cancel").status_code == 200
    flow.run()
    assert flow.states(job_id) == {"a": "done", "b": "skipped", "c": "skipped"}
    assert flow.document(job_id).status is JobStatus.CANCELED


def test_deleting_a_job_deletes_its_references_alone(story: Callable[..., Story]) -> None:
    """By the count of uses, whether they came with the image or later."""
    flow = story()
    first = flow.submit(*given("b", 1), prompt="a red square", await_references="c")
    second = flow.submit(*given("b", 1), prompt="a red square", sources="")
    flow.run()
    assert flow.upload(first, "c", generated("c", 1)) == 200
    flow.run()
    assert flow.api.delete(f"/attribute/{first}").status_code == 204
    shared = flow.here.sources(second)["b"].generated_images[0].blob
    assert flow.here.process.storage.blobs.exists(DEFAULT_TENANT, shared)
    with flow.here.process.storage.database.transaction() as session:
        kept = set(session.scalars(select(BlobReference.sha256)))
    assert {sha256 for _, sha256 in flow.here.stored()} == kept
    assert flow.api.delete(f"/attribute/{second}").status_code == 204
    assert flow.here.stored() == set()


def test_references_are_deleted_with_the_other_images(story: Callable[..., Story]) -> None:
    """Retention knows them by the job that used them; what was answered stays, vectors included."""
    flow = story(retention={"images": 1})
    job_id = flow.submit(*given("b", 1), prompt="a red square")
    flow.run()
    with flow.here.process.storage.database.transaction() as session:
        session.execute(text("UPDATE jobs SET completed_at = completed_at - interval '1 hour'"))
    delete_expired(flow.here.process.storage, flow.here.process.settings.retention)
    with flow.here.process.storage.database.transaction() as session:
        assert session.scalars(select(BlobReference.role)).all() == ["features"]
    document = flow.document(job_id)
    assert [source.generated_images for source in document.sources] == [[], [], []]
    assert document.result is not None
    assert [entry.origin for entry in document.result.ranking if entry.source == "b"] == [Origin.REFERENCE]


def test_a_caller_and_the_deadline_do_not_both_win(story: Callable[..., Story]) -> None:
    """In every race an accepted upload is ranked, a refused one is not, and the job ends."""
    flow = story(job={"requeue_after": 3_600})
    for number in range(20):
        job_id = flow.submit(await_references="b", prompt=f"square {number}")
        flow.run()
        with flow.here.process.storage.database.transaction() as session:  # about when it is uploaded
            session.execute(
                text("UPDATE jobs SET deadline_at = clock_timestamp() + interval '25 ms' WHERE id = :id"),
                {"id": job_id},
            )
        start = Barrier(2)

        def upload(job_id: uuid.UUID = job_id, start: Barrier = start) -> int:
            start.wait()
            return flow.upload(job_id, "b", generated("b", 1))

        def pass_deadline(job_id: uuid.UUID = job_id, start: Barrier = start) -> None:
            start.wait()
            while flow.states(job_id)["b"] == SourceState.AWAITING_REFERENCE:
                flow.here.sweep()

        with ThreadPoolExecutor(2) as racing:
            status = racing.submit(upload)
            racing.submit(pass_deadline).result()
        flow.run()
        document = flow.document(job_id)
        assert document.status is JobStatus.SUCCEEDED, document.error
        assert flow.states(job_id)["b"] == (SourceState.DONE if status.result() == 200 else SourceState.TIMEOUT)


def test_a_job_without_anything_to_wait_for_does_not_wait(bench: Callable[..., Bench]) -> None:
    """Sources without an API are reported at once, and not at the deadline."""
    here = bench(THREE)
    job_id = here.submit()
    with here.process.storage.database.transaction() as session:
        session.execute(text("UPDATE job_sources SET state = 'no_api', reason = 'It has none.'"))
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert document.result is not None
    assert document.result.verdict.reason is Reason.NO_QUORUM
