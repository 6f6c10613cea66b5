"""The Celery app with its tasks: names and ids, nothing else. Each calls a plain function with this process."""

import uuid
from collections.abc import Callable
from functools import partial

from app.db.models import Job, Stage
from app.queue.broker import make_celery
from app.queue.steps import (
    EVICT_TASK,
    NOTIFY_TASK,
    REFERENCES_TASK,
    RESUME_TASK,
    RESYNTHESIZE_TASK,
    RETAIN_TASK,
    SWEEP_QUEUE,
    SWEEP_TASK,
    stage_task_name,
)
from app.settings import load_settings
from workers.process import Process, this_process
from workers.references import take_in
from workers.resynthesize import resume, resynthesize
from workers.retain import evict, retain
from workers.stage import captions_remotely, run_stage
from workers.stages import STAGES
from workers.sweep import sweep
from workers.task_tracing import TracingTask

settings = load_settings()
celery = make_celery(settings)
celery.conf.beat_schedule = {
    "sweep": {
        "task": SWEEP_TASK,
        "schedule": settings.job.sweep_every,
        # A sweep that waited this long is not worth running: the next one is queued already.
        "options": {"queue": SWEEP_QUEUE, "expires": 5},
    },
    "retain": {
        "task": RETAIN_TASK,
        "schedule": settings.retention.every,
        "options": {"queue": SWEEP_QUEUE, "expires": settings.retention.every.total_seconds()},
    },
    "evict": {
        "task": EVICT_TASK,
        "schedule": settings.cache.every,
        "options": {"queue": SWEEP_QUEUE, "expires": settings.cache.every.total_seconds()},
    },
}


celery.Task = TracingTask


def stage_task(stage: Stage) -> Callable[[str], None]:
    """The task of one stage of one job."""

    def task(job_id: str) -> None:
        process = this_process()
        run = partial(run_stage, process, STAGES, stage, uuid.UUID(job_id))
        if stage == Stage.FETCHING:
            process.fetcher.soon(run)  # an address may take its time
        elif stage == Stage.CAPTIONING and _captions_remotely(process, uuid.UUID(job_id)):
            process.asking(run)
        else:
            run()

    return task


def _captions_remotely(process: Process, job_id: uuid.UUID) -> bool:
    """Whether describing a job's image will be waiting; asks Postgres only where that can be."""
    if not any(spec.waits for spec in process.settings.models.offered.values()):
        return False
    with process.database.statement() as session:
        job = session.get(Job, job_id)
    return job is not None and captions_remotely(process, job)


def resynthesize_task(job_id: str, queue: str) -> None:
    """The task of a job's sources in one queue."""
    resynthesize(this_process(), uuid.UUID(job_id), queue)


def references_task(job_id: str) -> None:
    """The task of what was brought of a job's sources."""
    take_in(this_process(), uuid.UUID(job_id))


def resume_task(source: str) -> None:
    """Looks whether there is room for those who wait for a source."""
    resume(this_process(), source)


def notify_task() -> None:
    """Sends what is due to receivers; returns at once, for they may take their time."""
    this_process().couriers.send_due()


def sweep_task() -> None:
    """One round of the sweep."""
    sweep(this_process())


def retain_task() -> None:
    """One round of forgetting."""
    retain(this_process())


def evict_task() -> None:
    """Keeps the cache within its bounds."""
    evict(this_process())


for _stage in STAGES:
    celery.task(stage_task(_stage), name=stage_task_name(_stage))
celery.task(resynthesize_task, name=RESYNTHESIZE_TASK)
celery.task(references_task, name=REFERENCES_TASK)
celery.task(resume_task, name=RESUME_TASK)
celery.task(notify_task, name=NOTIFY_TASK)
celery.task(sweep_task, name=SWEEP_TASK)
celery.task(retain_task, name=RETAIN_TASK)
celery.task(evict_task, name=EVICT_TASK)
