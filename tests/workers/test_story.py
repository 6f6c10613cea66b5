"""A job on its way through the stages, delivered message by message."""

import uuid
from collections.abc import Callable

import pytest
from PIL.PngImagePlugin import PngInfo

from app.db.models import JobStatus, Stage
from app.db.types import ExternalScores
from app.queue.steps import RESYNTHESIZE_TASK, QueuedStep, stage_step
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.evidence.finding import Kind
from attribution.evidence.watermark import MARKS
from attribution.method import attribute
from attribution.ports import Aggregate, Method, Reason, SourceState
from tests.app.images import encoded
from tests.attribution.evidence.marking import mark
from tests.attribution.evidence.test_watermark import query
from tests.workers.harness import Bench
from workers.artifacts import read_image

Make = Callable[..., Bench]
THREE = {"a": "", "b": "", "c": ""}


def is_resynthesis(step: QueuedStep) -> bool:
    """Whether a message is for sources to be generated."""
    return step.task == RESYNTHESIZE_TASK


@pytest.mark.parametrize(
    ("distance", "aggregate", "external_scores"),
    [
        ("cosine", "mean", None),
        ("ssim", "max", None),
        ("hybrid", "median", ExternalScores({"c": 9, "b": 1}, 0.9)),
    ],
)
def test_the_stages_give_what_the_method_gives(
    bench: Make, distance: str, aggregate: str, external_scores: ExternalScores | None
) -> None:
    """The workers' stages, with blobs and rows in between, rank exactly as attribute() does in one go."""
    here = bench(THREE)
    method_options = {"distance": distance, "aggregate": aggregate}
    job_id = here.submit(
        (30, 160, 60), seed=7, method_options=method_options, external_scores=external_scores, images_per_source=3
    )
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    job = here.job(job_id)
    whole = attribute(
        read_image(here.process.storage.blobs, job.tenant_id, job.query_blob or ""),
        captioner=FakeCaptioner(),
        generators=[here.process.models.generator(source) for source in here.process.models.catalog.sources],
        embedder=FakeEmbedder(),
        distance=distance_named(distance),
        method=Method.COSINE,
        aggregate=Aggregate(aggregate),
        external_scores=None if external_scores is None else external_scores.scores,
        fusion_weight=external_scores.weight if external_scores else 0.5,
        images_per_source=3,
        seed=7,
    )
    assert document.result is not None
    assert document.result.caption == whole.caption.text
    assert [(each.source, each.distances, each.external_score, each.fused) for each in document.result.ranking] == [
        (each.source, list(each.distances), each.external_score, each.fused) for each in whole.ranking.entries
    ]
    assert document.result.margin == whole.ranking.margin
    assert (document.result.distance, document.result.aggregate) == (distance, aggregate)
    assert (document.result.fusion is None) == (external_scores is None)
    if external_scores:
        assert document.result.fusion.margin == whole.ranking.fusion.margin
    assert document.result.verdict.reason is whole.verdict.reason is Reason.UNCALIBRATED
    assert {row.source: row.seeds for row in document.sources} == {
        each.source: [generated_image.seed for generated_image in each.generated_images] for each in whole.resyntheses
    }


def test_every_stage_is_timed_and_the_answer_is_polled_from_redis(bench: Make) -> None:
    """An ended job has a duration per stage, and its document lies in Redis as a caller would read it."""
    here = bench(THREE)
    job_id = here.submit()
    here.run()
    document = here.document(job_id)
    assert set(document.timings) == {stage.value for stage in Stage} - {Stage.FETCHING}
    snapshot = here.process.storage.snapshots.get(here.job(job_id).tenant_id, job_id)
    assert snapshot == document.model_dump_json().encode()


def test_a_prompt_takes_the_captions_place(bench: Make) -> None:
    """The caller's prompt is sent to sources, and the result's captioner shows that it was given."""
    here = bench(THREE)
    job_id = here.submit(prompt="a red square")
    here.run()
    job = here.job(job_id)
    assert job.caption == "a red square"
    assert job.captioner is not None
    assert job.captioner.startswith("given")


def test_failing_sources_are_recorded_and_do_not_sink_the_job(bench: Make) -> None:
    """Each failure has its state and a sentence and no distance; the others are ranked."""
    here = bench(
        {
            "broken": 'fail = "error"',
            "down": 'fail = "unavailable"',
            "black": 'fail = "black"',
            "prude": 'fail = "refused_prompt"',
            "x": "",
            "y": "",
            "z": "",
            "zz": "",
        }
    )
    job_id = here.submit()
    here.run()
    rows = here.sources(job_id)
    assert {name: row.state for name, row in rows.items() if row.state != SourceState.DONE} == {
        "broken": SourceState.ERROR,
        "down": SourceState.UNAVAILABLE,
        "black": SourceState.REFUSED_OUTPUT,
        "prude": SourceState.REFUSED_PROMPT,
    }
    assert all(row.reason for row in rows.values() if row.state != SourceState.DONE)
    result = here.document(job_id).result
    assert result is not None
    assert {entry.source for entry in result.ranking} == {"x", "y", "z", "zz"}


def test_too_few_tested_sources_make_no_verdict(bench: Make) -> None:
    """Below the quorum the job still succeeds, with its ranking and the reason."""
    here = bench({"broken": 'fail = "error"', "broken2": 'fail = "error"', "ok": ""})
    job_id = here.submit()
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert document.result is not None
    assert document.result.verdict.reason is Reason.NO_QUORUM
    assert [entry.source for entry in document.result.ranking] == ["ok"]


def test_nothing_generated_at_all_still_ends_with_an_answer(bench: Make) -> None:
    """With every source failing there is nothing to embed, and the verdict says so."""
    here = bench({"broken": 'fail = "error"', "broken2": 'fail = "error"'})
    job_id = here.submit()
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert document.result is not None
    assert document.result.ranking == []
    assert document.result.embedder is None
    assert document.result.verdict.reason is Reason.NO_QUORUM


def test_every_message_may_come_twice(bench: Make) -> None:
    """Doubled messages change nothing: one end, one row per source, the same answer."""
    here = bench(THREE)
    job_id = here.submit()
    while here.broker.steps:
        step = here.broker.steps.popleft()
        here.deliver(step)
        before = here.job(job_id)
        here.deliver(step)
        after = here.job(job_id)
        assert (before.status, before.stage, before.result) == (after.status, after.stage, after.result)
    assert here.job(job_id).status == JobStatus.SUCCEEDED
    assert all(row.attempt == 1 for row in here.sources(job_id).values())


def test_a_source_that_cannot_be_tested_is_reported_and_not_ranked(bench: Make) -> None:
    """A source whose catalog entry has changed since acceptance is not generated with another revision."""
    here = bench(THREE)
    job_id = here.submit()
    here.run(until=is_resynthesis)
    with here.process.storage.database.transaction() as session:
        session.get_one(type(here.sources(job_id)["b"]), (job_id, "b")).revision = "2"
    here.run()
    rows = here.sources(job_id)
    assert rows["b"].state == SourceState.UNAVAILABLE
    assert rows["b"].reason is not None
    assert "revision 2" in rows["b"].reason


def test_jobs_of_one_local_source_are_drained_together(bench: Make) -> None:
    """One message of a local source generates the waiting jobs of that source before the worker looks elsewhere."""
    here = bench({"a": "", "b": ""}, platform="local")
    ids = [here.submit((50 * k, 10, 10)) for k in range(3)]
    here.run(until=lambda step: all(is_resynthesis(each) for each in here.broker.steps))
    here.deliver(here.broker.steps.popleft())
    assert all(here.sources(job_id)["a"].state == SourceState.DONE for job_id in ids)
    assert all(here.sources(job_id)["b"].state == SourceState.PENDING for job_id in ids)


def test_an_unknown_job_is_not_claimed(bench: Make) -> None:
    """A message about a job that is gone does nothing."""
    here = bench(THREE)
    here.deliver(stage_step(Stage.CAPTIONING, uuid.uuid4()))
    assert not here.broker.steps


def test_a_watermark_joins_what_the_file_said_of_itself(bench: Make) -> None:
    """A worker finds it in the pixels; running the stage twice reports it once, and the ranking is not affected."""
    here = bench(THREE)
    known = MARKS[0]
    marked = mark(query(), known.bits, known.offset)
    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Sampler: Euler a, Seed: 7, Model: dreamshaper")
    job_id = here.submit(file=encoded(marked, "PNG", pnginfo=text))
    here.run()
    document = here.document(job_id)
    assert [finding.kind for finding in document.evidence] == [Kind.TEXT, Kind.WATERMARK]
    assert document.evidence[1].generator == known.generator
    assert document.result is not None
    assert len(document.result.ranking) == len(THREE)
