"""The names that API and workers share: tasks, their queues, and the task of each stage."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.db.models import Stage
from app.telemetry.tracing import carrier
from attribution.catalog import Source

REMOTE_QUEUE = "remote"
SWEEP_QUEUE = "sweep"
RESYNTHESIZE_TASK = "workers.resynthesize"
# Uploaded reference images are screened by the workers that screen query images, from a queue of their own.
REFERENCE_QUEUE = "references"
REFERENCES_TASK = "workers.references"
RESUME_TASK = "workers.resume"
SWEEP_TASK = "workers.sweep"
RETAIN_TASK = "workers.retain"
EVICT_TASK = "workers.evict"
BANK_TASK = "workers.bank"
NOTIFY_QUEUE = "notify"
NOTIFY_TASK = "workers.notify"


class Role(StrEnum):
    """A role of a worker process, which can have several."""

    LIGHT = "light"
    CAPTION = "caption"
    EMBED = "embed"
    LOCAL = "local"
    REMOTE = "remote"


_STAGES = {
    Stage.FETCHING: ("workers.fetch", "fetch"),
    Stage.SCREENING: ("workers.screen", "screen"),
    Stage.CAPTIONING: ("workers.caption", "caption"),
    Stage.EMBEDDING: ("workers.embed", "embed"),
    Stage.RANKING: ("workers.rank", "rank"),
}
STAGE_QUEUES = {stage: queue for stage, (_, queue) in _STAGES.items()}


@dataclass(frozen=True, slots=True)
class QueuedStep:
    """A message: a task's name, its queue, and ids. It belongs to the trace within which it was created."""

    task: str
    queue: str
    arguments: tuple[str, ...]
    trace: Mapping[str, str] = field(default_factory=carrier, compare=False)


def stage_step(stage: Stage, job_id: uuid.UUID) -> QueuedStep:
    """The message for a job's stage; resynthesizing has one per queue of its sources instead."""
    task, queue = _STAGES[stage]
    return QueuedStep(task, queue, (str(job_id),))


def stage_task_name(stage: Stage) -> str:
    """The name of a stage's task."""
    return _STAGES[stage][0]


def sources_step(job_id: uuid.UUID, queue: str) -> QueuedStep:
    """The message for those sources of a job that wait in one queue, or for its uploaded reference images."""
    if queue == REFERENCE_QUEUE:
        return QueuedStep(REFERENCES_TASK, queue, (str(job_id),))
    return QueuedStep(RESYNTHESIZE_TASK, queue, (str(job_id), queue))


def resume_step(source: str) -> QueuedStep:
    """The message that a source has free capacity for jobs that wait for it."""
    return QueuedStep(RESUME_TASK, REMOTE_QUEUE, (source,))


def notify_step() -> QueuedStep:
    """The message that webhook deliveries are due; their rows have the details."""
    return QueuedStep(NOTIFY_TASK, NOTIFY_QUEUE, ())


def queue_of(source: Source) -> str:
    """A source's queue. Local ones have a queue each, so that a worker can finish one model's jobs before the next."""
    return f"local.{source.id}" if source.is_local else REMOTE_QUEUE


def required_roles(sources: Iterable[Source]) -> tuple[Role, ...]:
    """The roles of which a worker must be warm for jobs on these sources to end."""
    queues = {queue_of(source) for source in sources}
    roles = [Role.LIGHT, Role.CAPTION, Role.EMBED]
    if queues - {REMOTE_QUEUE}:
        roles.append(Role.LOCAL)
    if REMOTE_QUEUE in queues:
        roles.append(Role.REMOTE)
    return tuple(roles)


def is_local(queue: str) -> bool:
    """Whether a queue is that of a local source."""
    return queue != REMOTE_QUEUE
