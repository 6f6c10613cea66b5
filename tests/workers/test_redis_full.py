"""A Redis that is full: workers live on, and go on once there is room."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import devstack
from app.db.models import JobStatus
from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.queue.steps import SWEEP_QUEUE
from devstack.frozen import frozen
from tests.waiting import wait_until
from tests.workers.harness import Bench
from tests.workers.processes import Processes, environment_of
from workers.leases import EXIT_CODE


@pytest.fixture
def here(bench: Callable[..., Bench]) -> Iterator[Bench]:
    """A bench over an empty Valkey with room."""
    made = bench({"a": ""}, platform="local", job={"quorum_min": 1})
    redis = made.process.storage.redis
    redis.flushall()
    yield made
    redis.config_set("maxmemory", 0)


def test_workers_survive_a_full_redis(here: Bench, migrated: devstack.Servers, tmp_path: Path) -> None:
    """None of them ends, and a job that was accepted meanwhile ends once there is room."""
    redis = here.process.storage.redis
    with ExitStack() as stack:
        processes = Processes(stack, environment_of(here.process.settings) | {"JOB__QUORUM_MIN": "1"}, tmp_path)
        workers = [processes.worker("light"), processes.worker("caption", "embed"), processes.worker("local")]
        clock = processes.worker("beat")
        roles = ("light", "caption", "embed", "local")
        wait_until(lambda: all(Heartbeats(redis).warm(roles).values()))
        with ExitStack() as stopped:
            for each in workers:
                stopped.enter_context(frozen(each.pid))
            celery = make_celery(here.process.settings)
            job_id = here.submit()
            assert Broker(celery).enqueue(here.broker.steps)
            celery.close()
            wait_until(lambda: redis.llen(SWEEP_QUEUE))
            redis.config_set("maxmemory", 1)
        # What they now take they cannot record, and they cannot connect anew.
        wait_until(lambda: "maxmemory" in (tmp_path / "light.log").read_text())
        redis.config_set("maxmemory", 0)
        wait_until(lambda: here.job(job_id).status == JobStatus.SUCCEEDED, 60)
        assert [each.poll() for each in (*workers, clock)] == [None] * 4


def test_a_worker_that_ends_by_itself_ends_with_an_error(here: Bench, tmp_path: Path) -> None:
    """What restarts processes that failed must not take it for one that was stopped."""
    here.process.storage.redis.set("rank", "not a list of messages")
    with ExitStack() as stack:
        light = Processes(stack, environment_of(here.process.settings), tmp_path).worker("light")
        assert light.wait(60) == EXIT_CODE
    here.process.storage.redis.delete("rank")
