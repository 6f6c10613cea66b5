"""Stopping on SIGTERM: Celery takes no more tasks and ends those it holds; what takes too long goes to other workers.

Handing back costs the step no attempt, and the next worker need not wait for a lease to run out. A second SIGTERM
does so at once. What is killed before it came to that is handed on by the sweep, as after any crash.
"""

import os
from datetime import timedelta
from threading import Event, Thread

import structlog

from app.db.models import Job, JobSource, Stage
from app.queue.steps import QueuedStep, sources_step, stage_step
from app.telemetry.metrics import STEPS_RELEASED
from workers.process import Process

log = structlog.get_logger(__name__)


class Stopping:
    """What a worker process does about being told to stop."""

    def __init__(self, process: Process, patience: timedelta) -> None:
        self._process = process
        self._patience = patience
        self._told_again = Event()

    def begin(self) -> None:
        """To be called by the signal's handler; returns at once."""
        if self._process.leases.ending:
            self._told_again.set()
            return
        self._process.leases.ending = True
        Thread(target=self._end, name="stopping", daemon=True).start()

    def _end(self) -> None:
        log.info("stopping", patience=self._patience.total_seconds())
        self._told_again.wait(self._patience.total_seconds())
        try:
            release_steps(self._process)
        except Exception as error:  # Postgres is unavailable: the leases run out, and the sweep hands the steps on
            log.warning("not_released", error=type(error).__name__)
        os._exit(0)


def release_steps(process: Process) -> None:
    """Gives up what this process holds, and has others work on it."""
    # Of a job's sources in one queue, one message is enough.
    process.broker.enqueue(dict.fromkeys(_step(claim) for claim in process.leases.release_steps()))


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
