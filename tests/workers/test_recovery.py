"""Steps that die, hang, are late or are lost, and how their jobs still end."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy import update

from app.db.models import DEFAULT_TENANT, Job, JobSource, JobStatus, Stage
from app.jobs import repository, service, source_repository
from app.jobs.service import EndedSources
from app.jobs.source_repository import SourceOutcome
from attribution.ports import SourceState
from tests.workers.test_story import THREE, Make, is_resynthesis
from workers.stages import run_stage, stage_works
from workers.transitions import Advance

LEASE = timedelta(seconds=10)
ATTEMPTS = 5


def test_lost_messages_are_requeued(bench: Make) -> None:
    """With every single message lost, the sweep alone makes the job succeed."""
    here = bench(THREE)
    job_id = here.submit()
    here.broker.steps.clear()
    for _ in range(len(Stage)):
        here.pass_time(60)
        here.sweep()
        delivered = list(here.broker.steps)
        for step in delivered:
            here.deliver(step)
        here.broker.steps.clear()
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_an_absent_broker_costs_time_and_nothing_else(bench: Make) -> None:
    """While Redis is unavailable stages still save; when it is back the sweep goes on from there."""
    here = bench(THREE)
    job_id = here.submit()
    here.broker.unavailable = True
    here.run()
    assert here.job(job_id).stage == Stage.RESYNTHESIZING
    here.broker.unavailable = False
    here.pass_time(60)
    here.sweep()
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_what_is_fresh_or_held_is_left_alone(bench: Make) -> None:
    """The sweep requeues neither a step that was just enqueued nor one that a live worker holds."""
    here = bench(THREE)
    job_id = here.submit()
    here.broker.steps.clear()
    here.sweep()
    assert not here.broker.steps
    with here.process.storage.database.transaction() as session:
        session.execute(update(Job).values(requeued_at=Job.created_at - timedelta(hours=1)))
        assert repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, ATTEMPTS) is not None
    here.sweep()
    assert not here.broker.steps


def test_handing_on_becomes_rarer(bench: Make) -> None:
    """Behind a long queue a waiting job is not enqueued again at every sweep: the pauses double."""
    here = bench(THREE)
    here.submit()
    here.broker.steps.clear()
    requeued = []
    for second in range(200):
        here.pass_time(1)
        here.sweep()
        if here.broker.steps:
            requeued.append(second)
            here.broker.steps.clear()
    pauses = [later - earlier for earlier, later in itertools.pairwise(requeued)]
    assert len(pauses) >= 3
    assert all(later > 1.5 * earlier for earlier, later in itertools.pairwise(pauses))


def test_a_late_result_of_an_older_attempt_is_fenced_off(bench: Make) -> None:
    """A worker that was thought dead finds its claim gone and changes nothing."""
    here = bench(THREE)
    job_id = here.submit()
    database = here.process.storage.database
    with database.transaction() as session:
        old = repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, ATTEMPTS)
    here.pass_time(60)
    with database.transaction() as session:
        new = repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, ATTEMPTS)
    assert old is not None
    assert new is not None
    with database.transaction() as session:
        assert not repository.advance(session, old, Stage.CAPTIONING)[0]
        assert repository.advance(session, new, Stage.CAPTIONING)[0]
        assert not repository.advance(session, new, Stage.CAPTIONING)[0]


def test_a_claim_is_given_once(bench: Make) -> None:
    """Of many workers that get the same message at once, one works."""
    here = bench(THREE)
    job_id = here.submit()

    def claim(_: int) -> bool:
        with here.process.storage.database.transaction() as session:
            return repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, ATTEMPTS) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


def test_of_leaves_that_end_together_one_moves_the_job_on(bench: Make) -> None:
    """Eight queues that finish at the same moment, twenty times: exactly one of them enqueues embedding."""
    here = bench({f"s{k}": "" for k in range(8)}, platform="local")
    for _ in range(20):
        job_id = here.submit(cache=False)
        here.run(until=is_resynthesis)
        sources = list(here.broker.steps)
        here.broker.steps.clear()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(here.deliver, sources))
        assert [step.queue for step in here.broker.steps] == ["embed"]
        here.run()
        assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_a_stage_that_always_crashes_fails_the_job(bench: Make) -> None:
    """After N claims that went silent the job ends as failed, with a problem that says so."""
    here = bench(THREE, job={"attempts": 3})
    job_id = here.submit()
    for attempt in range(3):
        with here.process.storage.database.transaction() as session:
            assert repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, 3) is not None, attempt
        here.pass_time(60)
        here.sweep()
    document = here.document(job_id)
    assert document.status is JobStatus.FAILED
    assert document.error is not None
    assert document.error["type"] == "/problems/step-crashed"
    snapshot = here.process.storage.snapshots.get(here.job(job_id).tenant_id, job_id)
    assert snapshot == document.model_dump_json().encode()


def test_a_source_that_always_crashes_ends_as_error(bench: Make) -> None:
    """A source that takes its worker down each time is recorded, and the rest is ranked."""
    here = bench(THREE, platform="local", job={"attempts": 2})
    job_id = here.submit()
    here.run(until=is_resynthesis)
    here.broker.steps = type(here.broker.steps)(step for step in here.broker.steps if step.arguments[1] != "local.b")
    for _ in range(2):
        with here.process.storage.database.transaction() as session:
            assert source_repository.claim_in_queue(session, job_id, "local.b", LEASE, 2)
        here.pass_time(15)
    here.run()
    here.sweep()
    here.run()
    rows = here.sources(job_id)
    assert rows["b"].state == SourceState.ERROR
    assert rows["b"].reason is not None
    assert "2 times" in rows["b"].reason
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_a_hanging_source_is_timed_out_and_its_late_generated_image_ignored(bench: Make) -> None:
    """Past its limit a source ends as `timeout` though its worker lives; its late outcome is rejected."""
    here = bench(THREE, platform="local")
    job_id = here.submit()
    here.run(until=is_resynthesis)
    with here.process.storage.database.transaction() as session:
        (hung,) = source_repository.claim_in_queue(session, job_id, "local.b", LEASE, ATTEMPTS)
    here.run()
    here.pass_time(25)
    with here.process.storage.leases.hold(hung.row, timedelta(seconds=20)):
        here.process.storage.leases.renew()
        here.sweep()
    with here.process.storage.database.transaction() as session:
        assert service.end_sources(session, job_id, [SourceOutcome(hung.row, SourceState.DONE)]) == EndedSources()
    here.run()
    assert here.sources(job_id)["b"].state == SourceState.TIMEOUT
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_at_the_deadline_what_was_generated_is_ranked(bench: Make) -> None:
    """A job whose deadline passes while sources generate is answered on those that have generated."""
    here = bench(THREE, platform="local")
    job_id = here.submit(deadline=timedelta(seconds=30))
    here.run(until=is_resynthesis)
    here.deliver(here.broker.steps.popleft())
    here.deliver(here.broker.steps.popleft())
    here.broker.steps.clear()
    here.pass_time(31)
    here.sweep()
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED
    assert {row.source: row.state for row in document.sources} == {
        "a": SourceState.DONE,
        "b": SourceState.DONE,
        "c": SourceState.TIMEOUT,
    }


def test_before_anything_is_generated_the_deadline_fails_the_job(bench: Make) -> None:
    """A job that was not captioned in time fails with that reason."""
    here = bench(THREE)
    job_id = here.submit(deadline=timedelta(seconds=30))
    here.pass_time(31)
    here.sweep()
    error = here.document(job_id).error
    assert error is not None
    assert error["type"] == "/problems/deadline-exceeded"


def test_an_error_that_may_pass_is_retried_and_then_fails_the_job(bench: Make) -> None:
    """A stage whose image has gone from the store is tried N times, and then the job fails."""
    here = bench(THREE, job={"attempts": 2})
    job_id = here.submit()
    here.process.storage.blobs.delete(DEFAULT_TENANT, here.original(job_id))
    here.run()
    assert here.job(job_id).stage == Stage.SCREENING
    here.pass_time(60)
    here.sweep()
    here.run()
    error = here.document(job_id).error
    assert error is not None
    assert error["type"] == "/problems/step-failed"


def test_a_configuration_that_cannot_work_fails_at_once(bench: Make) -> None:
    """A permanent error ends the job with its sentence."""
    here = bench(THREE, models={"captioner": "blip:/nowhere", "embedder": "fake:", "calibrations": []})
    job_id = here.submit()
    here.run()
    error = here.document(job_id).error
    assert error is not None
    assert error["type"] == "/problems/step-failed"
    assert "/nowhere" in error["detail"]


def test_a_held_lease_is_renewed(bench: Make) -> None:
    """While a worker holds a claim its lease moves on; after that it does not."""
    here = bench(THREE)
    job_id = here.submit()
    with here.process.storage.database.transaction() as session:
        job = repository.claim_stage(session, job_id, Stage.SCREENING, LEASE, ATTEMPTS)
    assert job is not None
    first = here.job(job_id).lease_until
    with here.process.storage.leases.hold(job, timedelta(minutes=1)):
        here.process.storage.leases.renew()
    renewed = here.job(job_id).lease_until
    here.process.storage.leases.renew()
    assert first is not None
    assert renewed is not None
    assert first < renewed == here.job(job_id).lease_until


HANG = """
import socket, time
from datetime import timedelta
import workers.leases as leases
from app.db.database import Database, connect
from app.db.models import Job
from app.settings import DatabaseSettings
silence = socket.create_server(("127.0.0.1", 0))
url = f"postgresql://nobody@127.0.0.1:{silence.getsockname()[1]}/none"
database = Database(connect(DatabaseSettings(url=url, connect_timeout=600)))
leases.GRACE_SECONDS = 5.0
held = leases.Leases(database, timedelta(seconds=0.3))
held.start()
with held.hold(Job(id=None, stage="ranking", attempt=1), timedelta(seconds=0.1)):
    time.sleep(600)
"""


def test_a_step_that_outlives_its_limit_ends_the_process() -> None:
    """The process ends itself, for a supervisor to restart, also while a silent Postgres keeps leases from renewing."""
    assert subprocess.run([sys.executable, "-c", HANG], timeout=60, capture_output=True).returncode == 75


def test_a_stage_raises_nothing_to_celery(bench: Make) -> None:
    """An error of a stage is recorded in the row: an error of a task would only be logged."""
    here = bench(THREE, job={"attempts": 1})
    job_id = here.submit()

    def work(job: Job) -> Advance:
        raise ZeroDivisionError

    run_stage(here.process, {**stage_works(here.process), Stage.SCREENING: work}, Stage.SCREENING, job_id)
    assert here.job(job_id).status == JobStatus.FAILED


def test_source_rows_are_ended_once(bench: Make) -> None:
    """A source that has ended cannot be claimed."""
    here = bench(THREE, platform="local")
    job_id = here.submit()
    here.run()
    with here.process.storage.database.transaction() as session:
        assert not source_repository.claim_in_queue(session, job_id, "local.a", LEASE, ATTEMPTS)
        assert session.get_one(JobSource, (job_id, "a")).state == SourceState.DONE
