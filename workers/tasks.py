"""The Celery tasks of workers: names and ids, nothing else. Each calls a plain function with parts of this process."""

import uuid
from collections.abc import Callable
from functools import partial

from celery import Celery, Task
from opentelemetry.trace import SpanKind

from app.db.models import Job, Stage
from app.queue.broker import make_celery
from app.queue.steps import (
    BANK_TASK,
    EVICT_TASK,
    NOTIFY_TASK,
    REFERENCES_TASK,
    RESUME_TASK,
    RESYNTHESIZE_TASK,
    RETAIN_TASK,
    SWEEP_QUEUE,
    SWEEP_TASK,
    is_local,
    stage_task_name,
)
from app.settings import Settings
from app.telemetry import tracing
from workers.bank_snapshots import compile_due
from workers.contribute import contribute
from workers.process import Process, this_process
from workers.references import accept_references
from workers.resynthesize import resume, resynthesize
from workers.stages import captions_remotely, run_stage, stage_works
from workers.sweep import delete_expired, evict, sweep


class TracingTask(Task):  # type: ignore[misc]
    """A task that continues the trace of its message's sender."""

    def __call__(self, *arguments: str) -> None:
        """Runs the task's function."""
        with tracing.continued(self.request.headers or {}), tracing.span(self.name, SpanKind.CONSUMER):
            super().__call__(*arguments)


def make_worker_celery(settings: Settings) -> Celery:
    """The Celery app with every task and with beat's schedule."""
    celery = make_celery(settings, consumes=True)
    celery.Task = TracingTask
    celery.conf.beat_schedule = {
        # A sweep that waited for 5 seconds is not worth running: the next ones are queued already.
        "sweep": _scheduled(SWEEP_TASK, settings.job.sweep_every.total_seconds(), 5),
        "retain": _scheduled(RETAIN_TASK, settings.retention.every.total_seconds()),
        "evict": _scheduled(EVICT_TASK, settings.cache.every.total_seconds()),
        "bank": _scheduled(BANK_TASK, settings.bank.contribute_every.total_seconds()),
    }
    tasks: dict[str, Callable[..., None]] = {
        **{stage_task_name(stage): _stage_task(stage) for stage in Stage if stage != Stage.RESYNTHESIZING},
        RESYNTHESIZE_TASK: _resynthesize,
        REFERENCES_TASK: _accept_references,
        RESUME_TASK: _resume,
        NOTIFY_TASK: _notify,
        SWEEP_TASK: _sweep,
        RETAIN_TASK: _retain,
        EVICT_TASK: _evict,
        BANK_TASK: _update_bank,
    }
    for name, function in tasks.items():
        celery.task(function, name=name, shared=False)
    return celery


def _scheduled(task: str, every: float, expires: float | None = None) -> dict[str, object]:
    options = {"queue": SWEEP_QUEUE, "expires": every if expires is None else expires}
    return {"task": task, "schedule": every, "options": options}


def _stage_task(stage: Stage) -> Callable[[str], None]:
    """The task of one stage of one job."""

    def task(job_id: str) -> None:
        process = this_process()
        run = partial(run_stage, process, stage_works(process), stage, uuid.UUID(job_id))
        job = _job_that_waits(process, stage, uuid.UUID(job_id))
        if job is None:
            run()
        elif stage == Stage.FETCHING:
            process.fetcher.threads.submit(run, job.tenant_id)
        else:
            process.vendors.caption_threads.submit(run, job.tenant_id)

    return task


def _job_that_waits(process: Process, stage: Stage, job_id: uuid.UUID) -> Job | None:
    """The job, if this stage of it waits: for an address, or for a remote captioner. It is read only if it might."""
    may_caption_remotely = any(spec.waits for spec in process.models.settings.offered.values())
    if stage != Stage.FETCHING and not (stage == Stage.CAPTIONING and may_caption_remotely):
        return None
    with process.storage.database.statement() as session:
        job = session.get(Job, job_id)
    waits = job is not None and (stage == Stage.FETCHING or captions_remotely(process.models, job))
    return job if waits else None


def _resynthesize(job_id: str, queue: str) -> None:
    """The sources of a job in the remote queue; or, of a local source, whatever is next."""
    process = this_process()
    if is_local(queue):
        return process.local.generate(uuid.UUID(job_id), queue)
    return resynthesize(process.storage, process.models, process.vendors, uuid.UUID(job_id), queue)


def _accept_references(job_id: str) -> None:
    """The references that were uploaded for a job's sources."""
    process = this_process()
    accept_references(process.storage, process.models, process.screening, uuid.UUID(job_id))


def _resume(source: str) -> None:
    """The jobs that wait for room at a source."""
    process = this_process()
    resume(process.storage, process.models, process.vendors, source)


def _notify() -> None:
    """The webhook deliveries that are due; returns at once, as receivers may be slow."""
    this_process().webhooks.send_due()


def _sweep() -> None:
    """One round of the sweep."""
    process = this_process()
    sweep(process.storage, process.models, process.webhooks)


def _retain() -> None:
    """One round of retention."""
    process = this_process()
    delete_expired(process.storage, process.settings.retention)


def _evict() -> None:
    """One round of cache eviction."""
    evict(this_process().storage)


def _update_bank() -> None:
    """Adds what jobs contribute to the bank, and compiles what is due of it."""
    process = this_process()
    settings = process.settings.bank
    if settings.enabled:
        contribute(process.storage, settings.contribute_every.total_seconds() / 2)
        compile_due(process.storage)
