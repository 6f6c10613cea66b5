"""Batches of local sources across jobs: who is in them, and what happens to the others when one of them goes wrong."""

import uuid
from collections import Counter
from datetime import timedelta

from sqlalchemy import select, text, update

from app.db.models import DEFAULT_TENANT, Job, JobSource, JobStatus
from app.jobs import batch_repository, service, source_repository
from attribution.ports import Deadline, GeneratedImage, SourceState
from attribution.race import Budget
from attribution.resynthesis.fake import FakeGenerator
from tests.workers.harness import Bench
from tests.workers.test_story import Make, is_resynthesis

LEASE, ATTEMPTS = timedelta(seconds=10), 5
TWO = {"a": "", "b": ""}
COLORS = [(200, 40, 40), (40, 60, 200), (30, 160, 60), (220, 200, 40)]


def resynthesizing(here: Bench) -> list[uuid.UUID]:
    """Jobs on images of each color that wait for their sources."""
    jobs = [here.submit(color, cache=False) for color in COLORS]
    here.run(until=is_resynthesis)
    while any(not is_resynthesis(step) for step in here.broker.steps):
        here.broker.steps.rotate(-1)
        here.run(until=is_resynthesis)
    return jobs


def give(here: Bench, job_id: uuid.UUID, tenant_id: uuid.UUID) -> None:
    """Makes a waiting job that of another tenant, which is new."""
    blobs = here.process.storage.blobs
    blobs.put(tenant_id, blobs.get(DEFAULT_TENANT, here.original(job_id)), "image/png")
    with here.process.storage.database.transaction() as session:
        tenant = {"id": tenant_id, "name": str(tenant_id)}
        session.execute(text("INSERT INTO tenants (id, name) VALUES (:id, :name)"), tenant)
        session.execute(update(Job).where(Job.id == job_id).values(tenant_id=tenant_id))
        session.execute(update(JobSource).where(JobSource.job_id == job_id).values(tenant_id=tenant_id))


def deliver(here: Bench, queue: str) -> None:
    """Delivers the first message of a local queue."""
    step = next(step for step in here.broker.steps if step.queue == queue)
    here.broker.steps.remove(step)
    here.deliver(step)


def done(here: Bench, jobs: list[uuid.UUID], source: str = "a") -> int:
    """How many of the jobs have this source's images."""
    return sum(here.sources(job)[source].state == SourceState.DONE for job in jobs)


def test_jobs_share_a_batch(bench: Make) -> None:
    """One message generates one source for as many jobs as fit, and the other messages find nothing left of it."""
    here = bench({"a": "batch = 6", "b": ""}, platform="local")
    jobs = resynthesizing(here)
    here.process.models.load("a", ())
    deliver(here, "local.a")
    assert done(here, jobs) + done(here, jobs, "b") == 3
    here.run()
    assert {here.job(job).status for job in jobs} == {JobStatus.SUCCEEDED}
    for job in jobs:
        assert [len(row.generated_images) for row in here.sources(job).values()] == [2, 2]


def test_a_race_waits_for_what_its_round_wants(bench: Make) -> None:
    """A batch has room for as many jobs as images of the round fit, not for as many as γ images would."""
    here = bench(TWO, platform="local")
    here.submit(cache=False, images_per_source=4, method_options={"budget": Budget.RACING})
    here.run(until=is_resynthesis)
    with here.process.storage.database.statement() as session:
        waiting = batch_repository.list_waiting(session, TWO)
    assert {each.source: each.images for each in waiting} == {"a": 1, "b": 1}


def test_a_batch_gives_the_images_that_a_job_gets_alone(bench: Make) -> None:
    """The ranking of a job does not depend on the jobs it shared batches with."""
    here = bench(TWO, platform="local")
    jobs = resynthesizing(here)
    here.run()
    alone = here.submit(COLORS[0], cache=False)
    here.run()
    shared = here.document(jobs[0])
    assert shared.result is not None
    assert here.document(alone).result == shared.result


def test_an_image_that_fails_takes_only_its_own_job_down(bench: Make) -> None:
    """A source that fails for one caption of a batch is an error in that job, and done in the others."""
    here = bench({"a": 'fail_on = "blue"', "b": ""}, platform="local")
    jobs = resynthesizing(here)
    here.run()
    states = Counter(here.sources(job)["a"].state for job in jobs)
    assert states == {SourceState.DONE: 3, SourceState.ERROR: 1}
    assert {here.job(job).status for job in jobs} == {JobStatus.SUCCEEDED}


def test_what_was_claimed_before_is_generated_alone(bench: Make) -> None:
    """Rows of a batch whose worker died are claimed one by one, so that the image that killed it is alone next time."""
    here = bench({"a": "", "b": ""}, platform="local")
    jobs = resynthesizing(here)
    with here.process.storage.database.statement() as session:
        died = batch_repository.claim_batch(session, "a", {DEFAULT_TENANT: 3}, LEASE, ATTEMPTS)
    assert len(died) == 3
    here.broker.steps.clear()
    here.pass_time(11)
    here.sweep()
    alone = [
        step
        for step in here.broker.steps
        if step.queue == "local.a" and uuid.UUID(step.arguments[0]) in {claim.row.job_id for claim in died}
    ]
    assert len(alone) == 3
    for number, step in enumerate(alone, 1):
        here.deliver(step)
        assert done(here, [claim.row.job_id for claim in died]) == number
    here.pass_time(60)
    here.sweep()
    here.run()
    assert {here.job(job).status for job in jobs} == {JobStatus.SUCCEEDED}
    assert {here.sources(claim.row.job_id)["a"].attempt for claim in died} == {2}


def test_a_late_batch_changes_nothing_that_was_generated_since(bench: Make) -> None:
    """A late save of a batch that was thought dead changes nothing of the jobs that another worker has served since."""
    here = bench(TWO, platform="local")
    jobs = resynthesizing(here)
    with here.process.storage.database.statement() as session:
        late = batch_repository.claim_batch(session, "a", {DEFAULT_TENANT: 4}, LEASE, ATTEMPTS)
    here.pass_time(11)
    here.sweep()
    here.run()
    before = {job: here.document(job) for job in jobs}
    outcomes = [source_repository.SourceOutcome(claim.row, SourceState.ERROR, "late") for claim in late]
    with here.process.storage.database.transaction() as session:
        assert all(not service.end_sources(session, each.row.job_id, [each]).sources for each in outcomes)
    assert {job: here.document(job) for job in jobs} == before
    with here.process.storage.database.statement() as session:
        roles = session.execute(text("SELECT job_id, role, count(*) FROM blob_references GROUP BY job_id, role")).all()
    assert all(count == 1 for _, _, count in roles)


def test_a_canceled_job_leaves_the_others_of_its_batch_alone(bench: Make) -> None:
    """A job that is canceled while its batch is generated gets nothing, and its images are deleted."""
    here = bench(TWO, platform="local")
    jobs = resynthesizing(here)
    generator = here.process.models.generator(here.process.models.catalog.get("a"))
    assert isinstance(generator, FakeGenerator)
    generate_each = generator.generate_each

    def cancel_meanwhile(prompts: list[str], seeds: list[int], deadline: Deadline) -> list[GeneratedImage]:
        with here.process.storage.database.transaction() as session:
            service.cancel(session, DEFAULT_TENANT, jobs[0])
        return generate_each(prompts, seeds, deadline)

    generator.generate_each = cancel_meanwhile  # type: ignore[assignment, method-assign]
    deliver(here, "local.a")
    generator.generate_each = generate_each  # type: ignore[method-assign]
    here.run()
    assert [here.job(job).status for job in jobs] == [JobStatus.CANCELED, *[JobStatus.SUCCEEDED] * 3]
    assert not here.sources(jobs[0])["a"].generated_images


def test_batches_alternate_between_tenants(bench: Make) -> None:
    """The only job of a tenant, which came last, is in the second batch although the jobs of another wait longer."""
    here = bench({"a": "batch = 2"}, platform="local")
    jobs = resynthesizing(here)
    give(here, jobs[-1], uuid.uuid4())
    here.process.models.load("a", ())
    deliver(here, "local.a")
    assert [here.sources(job)["a"].state for job in jobs[:-1]].count(SourceState.DONE) == 1
    deliver(here, "local.a")
    with here.process.storage.database.statement() as session:
        (row,) = source_repository.list_for_job(session, jobs[-1])
    assert row.state == SourceState.DONE


def test_two_workers_share_what_waits(bench: Make) -> None:
    """A row is claimed by one of two workers that look at the same moment; the other one takes other rows."""
    here = bench(TWO, platform="local")
    jobs = resynthesizing(here)
    database = here.process.storage.database
    with database.transaction() as one, database.transaction() as two:
        first = batch_repository.claim_batch(one, "a", {DEFAULT_TENANT: 3}, LEASE, ATTEMPTS)
        second = batch_repository.claim_batch(two, "a", {DEFAULT_TENANT: 3}, LEASE, ATTEMPTS)
    assert [claim.row.job_id for claim in [*first, *second]] == jobs


def test_captions_alternate_between_tenants(bench: Make) -> None:
    """The only job of one tenant is begun second, whichever job the message is about."""
    here = bench({"a": ""}, platform="local")
    jobs = [here.submit(color) for color in COLORS]
    give(here, jobs[-1], uuid.uuid4())
    for step in list(here.broker.steps)[:2]:
        here.deliver(step)
    with here.process.storage.database.statement() as session:
        begun = session.scalars(select(Job.id).where(Job.caption.is_not(None))).all()
    assert set(begun) == {jobs[0], jobs[-1]}
    here.run()
    assert [here.job(job).status for job in jobs[:-1]] == [JobStatus.SUCCEEDED] * 3
