"""SIGTERM to real worker processes: they end their steps, or release them at once without costing an attempt."""

import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

import devstack
from app.db.models import JobStatus, Stage
from app.jobs import repository
from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.queue.steps import stage_step
from attribution.ports import SourceState
from tests.waiting import wait_until
from tests.workers.harness import Bench, HeldBroker
from tests.workers.processes import Processes, environment_of
from workers.command import release_steps

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def here(bench: Callable[..., Bench], migrated: devstack.Servers) -> Iterator[Bench]:
    """Jobs over one slow local source, whose messages go to the real broker."""
    made = bench({"slow": "sleep_seconds = 3.0"}, platform="local", job={"quorum_min": 1})
    made.process.storage.redis.flushall()
    celery = make_celery(made.process.settings)
    yield Bench(made.process, cast(HeldBroker, Broker(celery)))
    celery.close()


@pytest.fixture
def start(here: Bench, tmp_path: Path) -> Iterator[Start]:
    """Starts worker processes: `start("local", JOB__LEASE="60")`."""
    # Long, so that neither an expired lease nor the sweep can be the reason.
    patient = {"JOB__QUORUM_MIN": "1", "JOB__LEASE": "60", "JOB__REQUEUE_AFTER": "60"}
    with ExitStack() as stack:
        yield Processes(stack, environment_of(here.process.settings) | patient, tmp_path).worker


def generated_image(here: Bench, job_id: uuid.UUID) -> bool:
    """Whether the slow source is being generated."""
    return here.sources(job_id)["slow"].state == SourceState.RUNNING


def test_a_generated_image_that_fits_into_the_grace_is_finished(here: Bench, start: Start) -> None:
    """The worker claims nothing new, ends and saves its current source, and exits."""
    start("caption", "embed")
    local = start("local")
    job_id = here.submit()
    wait_until(lambda: generated_image(here, job_id))
    local.send_signal(signal.SIGTERM)
    assert local.wait(20) == 0
    assert here.sources(job_id)["slow"].state == SourceState.DONE
    wait_until(lambda: here.job(job_id).status == JobStatus.SUCCEEDED, 10)


@pytest.mark.parametrize("again", [False, True], ids=["after the grace", "at a second signal"])
def test_a_generated_image_that_does_not_is_released_at_once(
    here: Bench, start: Start, tmp_path: Path, again: bool
) -> None:
    """It is released before its lease expires and without costing an attempt, and the job succeeds."""
    start("caption", "embed")
    leaving = start("local", JOB__RELEASE_AFTER="30" if again else "0.5")
    job_id = here.submit()
    wait_until(lambda: generated_image(here, job_id))
    leaving.send_signal(signal.SIGTERM)
    if again:
        wait_until(lambda: '"stopping"' in (tmp_path / "local.log").read_text())
        leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(2) == 0
    released = here.sources(job_id)["slow"]
    assert (released.state, released.attempt, released.lease_until) == (SourceState.PENDING, 0, None)
    start("local")
    wait_until(lambda: here.job(job_id).status == JobStatus.SUCCEEDED)
    assert here.sources(job_id)["slow"].attempt == 1


def test_an_idle_worker_goes_at_once(here: Bench, start: Start) -> None:
    """In either pool it has nothing to wait for."""
    running = {role: start(role) for role in ("local", "light")}
    wait_until(lambda: all(Heartbeats(here.process.storage.redis).warm(list(running)).values()))
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    assert [process.wait(5) for process in running.values()] == [0, 0]
    wait_until(lambda: not any(Heartbeats(here.process.storage.redis).warm(list(running)).values()), 5)


def test_a_stage_is_released_like_a_source(bench: Callable[..., Bench]) -> None:
    """Its message is sent again, its attempt is not counted, and its worker's late outcome is rejected."""
    here = bench({"a": ""})
    job_id = here.submit()
    here.broker.steps.clear()
    with here.process.storage.database.transaction() as session:
        job = repository.claim_stage(session, job_id, Stage.SCREENING, timedelta(seconds=10), 5)
    assert job is not None
    with here.process.storage.leases.hold(job, timedelta(minutes=1)):
        release_steps(here.process.storage)
        release_steps(here.process.storage)
    assert list(here.broker.steps) == [stage_step(Stage.SCREENING, job_id)]
    assert (here.job(job_id).attempt, here.job(job_id).lease_until) == (0, None)
    with here.process.storage.database.transaction() as session:
        assert repository.advance(session, job, Stage.CAPTIONING)[0] is None
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED


def test_a_local_worker_that_stops_begins_no_batch(bench: Callable[..., Bench]) -> None:
    """What waits is left to other workers, without a claim."""
    here = bench({"a": ""}, platform="local")
    ids = [here.submit() for _ in range(2)]
    here.run(until=lambda step: all(each.queue == "local.a" for each in here.broker.steps))
    here.process.storage.leases.ending = True
    here.deliver(here.broker.steps.popleft())
    assert [here.sources(job_id)["a"].state for job_id in ids] == [SourceState.PENDING] * 2
    assert [here.sources(job_id)["a"].attempt for job_id in ids] == [0, 0]
