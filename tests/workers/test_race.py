"""Jobs that race: rounds through the queue, each as safe as a job's only round; fewer images, the same winner."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.db.models import JobStatus, Stage
from app.documents import JobDocument
from app.jobs import repository, service, source_repository
from app.jobs.deletion import delete_job
from app.jobs.source_repository import SourceOutcome
from app.queue.steps import Role
from app.telemetry.metrics import EMBEDDING_BATCH
from attribution.bank import Bank
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import feature_space
from attribution.ports import Deadline, Method, Origin, SourceState
from attribution.race import Budget, RaceEnd
from tests.workers.harness import Bench
from workers.bank_snapshots import compile_snapshot
from workers.contribute import contribute
from workers.stages import run_stage, stage_works
from workers.startup import record_pipeline

Make = Callable[..., Bench]
THREE = {"a": "", "b": "", "c": ""}
SPACE = feature_space(FakeEmbedder().ref)
LEASE = timedelta(seconds=10)
RACING = {"budget": Budget.RACING}


def with_bank(make: Make, jobs: int = 8, sources: dict[str, str] = THREE, **groups: Any) -> Bench:
    """A worker with a bank of so many past jobs, that has reported its feature space as workers do when they start."""
    here = make(sources, bank={"refresh": "0.001s"}, **groups)
    process = here.process
    assert record_pipeline(process.settings, process.storage.database, process.models, [Role.CAPTION, Role.EMBED])
    for number in range(jobs):
        here.submit(prompt=f"hare {number}", cache=False)
    here.run()
    contribute(process.storage, 60)
    bank = compile_snapshot(process.storage, SPACE)
    assert isinstance(bank, Bank)
    return here


def submitted(here: Bench, budget: Budget | None = None, **options: Any) -> uuid.UUID:
    """A job with γ = 4 that asks for a budget."""
    given = {"images_per_source": 4, "seed": 7, "cache": False} | options
    by_c = here.process.models.generator(here.process.models.catalog.sources[-1])
    query = by_c.generate("a hare", (99,), Deadline.after(60))[0].image
    return here.submit(image=query, method_options={"budget": budget}, **given)


def ended(here: Bench, job_id: uuid.UUID) -> JobDocument:
    """The job, once nothing is left to do."""
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    return document


def images(document: JobDocument) -> dict[str, int]:
    """How many of each source there are."""
    return {each.source: len(each.generated_images) for each in document.sources}


def test_a_race_has_the_same_winner_with_fewer_images(bench: Make) -> None:
    """By default, as the bank knows all sources: one image of each, and the other three of the one that is left."""
    here = with_bank(bench)
    fixed = ended(here, submitted(here, Budget.FIXED))
    raced = ended(here, submitted(here))
    assert fixed.result is not None
    assert raced.result is not None
    assert (fixed.race, fixed.result.race) == (None, None)
    winner = fixed.result.ranking[0].source
    assert winner == "c"
    assert raced.result.ranking[0].source == winner
    assert images(fixed) == dict.fromkeys("abc", 4)
    assert images(raced) == dict.fromkeys("abc", 1) | {winner: 4}
    race = raced.result.race
    assert race is not None
    assert [(each.images, each.sources) for each in race.rounds] == [(1, ["a", "b", "c"]), (4, [winner])]
    assert (race.end, race.images) == (RaceEnd.ONE_LEFT, images(raced))
    assert (raced.budget, fixed.budget) == (Budget.AUTO, Budget.FIXED)
    assert {each.source: len(each.distances) for each in raced.result.ranking} == images(raced)
    assert raced.result.calibrated
    seeds = {each.source: each.seeds for each in fixed.sources}
    assert all(each.seeds == seeds[each.source][: len(each.seeds)] for each in raced.sources)


def test_only_new_images_are_embedded(bench: Make) -> None:
    """Each round embeds the query and what it has generated; the features of earlier rounds are read."""
    here = bench(THREE)
    count, total = EMBEDDING_BATCH._sum.get(), here.document(submitted(here, Budget.RACING))
    document = ended(here, total.id)
    assert images(document) == dict.fromkeys("abc", 4)
    assert EMBEDDING_BATCH._sum.get() - count == (1 + 3) + (1 + 9)


@pytest.mark.parametrize(
    ("sources", "options", "method"),
    [
        (THREE, {}, {"budget": Budget.AUTO}),
        (THREE, {}, RACING | {"method": Method.COSINE}),
        (THREE, {"images_per_source": 1}, RACING),
        ({"a": ""}, {}, RACING),
    ],
    ids=["no bank", "cosine", "one image", "one source"],
)
def test_what_cannot_race_does_not(
    bench: Make, sources: dict[str, str], options: dict[str, Any], method: dict[str, Any]
) -> None:
    """All sources generate γ images at once."""
    here = bench(sources)
    job_id = here.submit(method_options=method, **{"images_per_source": 2} | options)
    document = ended(here, job_id)
    assert here.job(job_id).race is None
    assert images(document) == dict.fromkeys(sources, options.get("images_per_source", 2))


def test_every_message_may_be_lost(bench: Make) -> None:
    """Each round is found and enqueued by the sweep alone."""
    here = bench(THREE)
    job_id = submitted(here, Budget.RACING)
    here.broker.steps.clear()
    for _ in range(2 * len(Stage)):
        here.pass_time(60)
        with here.process.storage.database.transaction() as session:  # the deadline does not come nearer by it
            row = repository.get_by_id(session, here.job(job_id).tenant_id, job_id)
            assert row is not None
            row.deadline_at += timedelta(minutes=2)
        here.sweep()
        delivered = list(here.broker.steps)
        for step in delivered:
            here.deliver(step)
        here.broker.steps.clear()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert images(document) == dict.fromkeys("abc", 4)


@pytest.mark.parametrize("stage", [Stage.EMBEDDING, Stage.RANKING])
def test_a_worker_that_dies_between_rounds_changes_nothing(bench: Make, stage: Stage) -> None:
    """Killed in embedding or ranking of the first round: another takes over, and what the dead one says is fenced off.

    The dead one's claim has the same stage and attempt as one of the second round.
    """
    here = bench(THREE)
    process = here.process
    job_id = submitted(here, Budget.RACING)
    here.run(until=lambda step: step.task.endswith("embed"))
    work = stage_works(process)[Stage.EMBEDDING]
    with process.storage.database.statement() as session:
        dead = repository.claim_stage(session, job_id, Stage.EMBEDDING, LEASE, 5)
    assert dead is not None
    late = work(dead)
    if stage is Stage.RANKING:
        with process.storage.database.statement() as session:
            moved, _ = repository.advance(session, dead, Stage.RANKING, LEASE, late.values, late.blobs)
        assert moved is not None
        dead, late = moved, stage_works(process)[Stage.RANKING](moved)
    here.broker.steps.clear()
    here.pass_time(60)
    here.sweep()
    here.run(until=lambda step: here.job(job_id).stage == Stage.EMBEDDING and rounds(here, job_id) == 2)
    assert rounds(here, job_id) == 2
    with process.storage.database.statement() as session:
        held = repository.claim_stage(session, job_id, Stage.EMBEDDING, LEASE, 5)
    assert held is not None
    assert (held.attempt, dead.attempt) == (1, 1)
    with process.storage.database.transaction() as session:
        if stage is Stage.EMBEDDING:
            assert repository.advance(session, dead, Stage.RANKING, None, late.values, late.blobs)[0] is None
        else:
            assert service.begin_round(session, dead, late.race) is None
    here.pass_time(60)
    here.sweep()
    document = ended(here, job_id)
    assert images(document) == dict.fromkeys("abc", 4)
    assert document.result is not None
    assert document.result.race is not None
    assert [each.images for each in document.result.race.rounds] == [1, 4]


def rounds(here: Bench, job_id: uuid.UUID) -> int:
    """How many have begun."""
    race = here.job(job_id).race
    return 0 if race is None else len(race.rounds)


def test_a_source_that_died_in_the_first_round_is_fenced_off_in_the_second(bench: Make) -> None:
    """Its claim has the same attempt as that of the second round, and would overwrite the images."""
    here = bench({"a": "", "b": ""})
    storage = here.process.storage
    job_id = submitted(here, Budget.RACING)
    here.run(until=lambda step: step.task.endswith("resynthesize"))
    queue = here.sources(job_id)["a"].queue
    with storage.database.statement() as session:
        dead = source_repository.claim_in_queue(session, job_id, queue, LEASE, 5)
    assert dead
    here.pass_time(11)  # its lease is over, not yet its time limit
    here.run(until=lambda step: rounds(here, job_id) == 2)
    with storage.database.statement() as session:
        again = source_repository.claim_in_queue(session, job_id, queue, LEASE, 5)
    assert {claim.row.attempt for claim in again} == {1}
    assert {claim.images_per_source for claim in again} == {4}
    with storage.database.transaction() as session:
        outcomes = [SourceOutcome(claim.row, SourceState.DONE) for claim in dead]
        assert service.end_sources(session, job_id, outcomes).sources == frozenset()
        assert not source_repository.save_generated_images(session, dead[0].row, ())
        assert not source_repository.release_claim_uncounted(session, dead[0].row)
        for claim in again:
            source_repository.release_claim(session, claim.row)
    assert images(ended(here, job_id)) == {"a": 4, "b": 4}


def test_a_race_ends_before_its_deadline(bench: Make) -> None:
    """A round that would not end in time is not begun: the result is that of the images there are."""
    here = bench(THREE)
    job_id = submitted(here, Budget.RACING, cache=True, result_key="k")
    here.run(until=lambda step: step.task.endswith("embed"))
    with here.process.storage.database.transaction() as session:
        row = repository.get_by_id(session, here.job(job_id).tenant_id, job_id)
        assert row is not None
        row.timings = row.timings | {"resynthesizing": 1000.0}
    document = ended(here, job_id)
    assert images(document) == dict.fromkeys("abc", 1)
    assert document.result is not None
    assert document.result.race is not None
    assert document.result.race.end is RaceEnd.DEADLINE
    assert here.job(job_id).pipeline_fingerprint is None


def test_a_deadline_in_a_round_ends_the_race_with_what_there_is(bench: Make) -> None:
    """Sources that are still open keep the images of the round before, and are ranked by them."""
    here = bench(THREE)
    job_id = submitted(here, Budget.RACING)
    here.run(until=lambda step: rounds(here, job_id) == 2)
    here.broker.steps.clear()
    here.pass_time(301)
    here.sweep()
    document = ended(here, job_id)
    assert images(document) == dict.fromkeys("abc", 1)
    assert document.result is not None
    assert len(document.result.ranking) == 3
    assert document.sources[0].reason is not None
    assert "1 generated images were made before that. The job's deadline passed" in document.sources[0].reason


def test_a_source_that_fails_later_keeps_what_it_has(bench: Make) -> None:
    """It is done with a remark, is not asked again, and the result is not cached as if it were whole."""
    here = bench({"a": "", "b": "crash_on = 'never'", "c": ""})
    job_id = submitted(here, Budget.RACING, cache=True, result_key="k")
    here.run(until=lambda step: rounds(here, job_id) == 2)
    entry = here.process.models.catalog.get("b")
    here.process.models.generator(entry)._behavior = type(  # type: ignore[attr-defined]
        here.process.models.generator(entry)._behavior  # type: ignore[attr-defined]
    )(fail="unavailable")
    document = ended(here, job_id)
    assert images(document) == {"a": 4, "b": 1, "c": 4}
    assert document.sources[1].state is SourceState.DONE
    assert (document.sources[1].reason or "").startswith("1 of 4 generated images: ")
    assert here.job(job_id).pipeline_fingerprint is None


def test_a_vendor_is_asked_for_its_fewest(bench: Make) -> None:
    """A source that bills four at once generates four in the first round, and the others one."""
    here = with_bank(bench, limits="fewest_images = 3")
    document = ended(here, submitted(here))
    assert document.result is not None
    winner = document.result.ranking[0].source
    assert document.result.race is not None
    assert [each.images for each in document.result.race.rounds] == [1, 4]
    assert images(document) == dict.fromkeys("abc", 3) | {winner: 4}


def test_rounds_use_cached_images(bench: Make) -> None:
    """A job with the same caption takes the images of both rounds from the cache, without a message for a source."""
    here = with_bank(bench)
    first = ended(here, submitted(here, cache=True))
    again = submitted(here, cache=True)
    here.run(until=lambda step: step.task.endswith("resynthesize"))
    document = here.document(again)
    assert document.status is JobStatus.SUCCEEDED
    assert images(document) == images(first)
    assert document.cached is not None
    assert document.result is not None
    assert first.result is not None
    assert [each.match for each in document.result.ranking] == pytest.approx(
        [each.match for each in first.result.ranking]
    )


def test_a_job_that_raced_contributes(bench: Make) -> None:
    """With as many residuals of each source as it has images, though one alone says nothing about chance."""
    here = with_bank(bench)
    document = ended(here, submitted(here))
    storage = here.process.storage
    contribute(storage, 60)
    bank = compile_snapshot(storage, SPACE)
    assert bank is not None
    assert len(bank.past) == 9
    counts = {source.partition("@")[0]: len(rows) for source, rows in bank.past[-1].images.items()}
    assert counts == images(document)


def test_references_never_race(bench: Make) -> None:
    """A job with reference images has γ images of every generator."""
    here = with_bank(bench)
    job_id = submitted(here)
    with here.process.storage.database.transaction() as session:
        row = source_repository.list_for_job(session, job_id)[0]
        session.add(row)
        row.origin = Origin.REFERENCE
    run_stage(here.process, stage_works(here.process), Stage.SCREENING, job_id)
    assert here.job(job_id).stage == Stage.RESYNTHESIZING
    assert here.job(job_id).race is None


def test_a_deleted_job_leaves_no_features(bench: Make, tmp_path: Path) -> None:
    """Those of earlier rounds are deleted with it."""
    here = bench(THREE)
    document = ended(here, submitted(here, Budget.RACING))
    storage = here.process.storage
    assert len(files(tmp_path)) == 2 + 12 + 2  # the original and the query, images, and features of two rounds
    tenant_id = here.job(document.id).tenant_id
    assert delete_job(storage.database, storage.blobs, storage.snapshots, tenant_id, document.id, "test")
    assert files(tmp_path) == []


def files(tmp_path: Path) -> list[Path]:
    """All stored bytes."""
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
