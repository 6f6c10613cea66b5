"""Shutdown on SIGTERM: Celery takes no more tasks and ends those it holds; steps that take too long are released.

A released step costs no attempt, and the next worker need not wait for its lease to expire. A second SIGTERM releases
at once. Steps of a process that is killed earlier are requeued by the sweep, as after any crash.
"""

import os
from datetime import timedelta
from threading import Event, Thread

import structlog

from app.db.models import Job, JobSource, Stage
from app.queue.steps import QueuedStep, sources_step, stage_step
from app.telemetry.metrics import STEPS_RELEASED
from workers.storage import Storage

log = structlog.get_logger(__name__)


class Shutdown:
    """Ends a worker process after a grace period."""

    def __init__(self, storage: Storage, grace: timedelta) -> None:
        self._storage = storage
        self._grace = grace
        self._second_signal = Event()

    def begin(self) -> None:
        """To be called by the signal's handler; returns at once."""
        if self._storage.leases.ending:
            self._second_signal.set()
            return
        self._storage.leases.ending = True
        Thread(target=self._end, name="shutdown", daemon=True).start()

    def _end(self) -> None:
        log.info("stopping", grace=self._grace.total_seconds())
        self._second_signal.wait(self._grace.total_seconds())
        try:
            release_steps(self._storage)
        except Exception as error:  # Postgres is unavailable: the leases expire, and the sweep requeues the steps
            log.warning("not_released", error=type(error).__name__)
        os._exit(0)


def release_steps(storage: Storage) -> None:
    """Releases the steps that this process holds, and enqueues them for other workers."""
    # One message is enough for a job's sources in one queue.
    storage.broker.enqueue(dict.fromkeys(_step(claim) for claim in storage.leases.release_steps()))


def _step(claim: Job | JobSource) -> QueuedStep:
    if isinstance(claim, Job):
        stage = Stage(claim.stage or "")
        job_id, step = claim.id, stage_step(stage, claim.id)
    else:
        stage = Stage.RESYNTHESIZING
        job_id, step = claim.job_id, sources_step(claim.job_id, claim.queue)
    STEPS_RELEASED.labels(stage.value).inc()
    log.info("step_released", job_id=str(job_id), stage=stage.value)
    return step
