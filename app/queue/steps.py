"""The names that API and workers agree on: tasks, their queues, and which task serves which stage."""

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
# Reference images that the caller uploads are screened by whoever screens query images, from a queue of their own.
REFERENCE_QUEUE = "references"
REFERENCES_TASK = "workers.references"
RESUME_TASK = "workers.resume"
SWEEP_TASK = "workers.sweep"
RETAIN_TASK = "workers.retain"
EVICT_TASK = "workers.evict"
NOTIFY_QUEUE = "notify"
NOTIFY_TASK = "workers.notify"


class Role(StrEnum):
    """What a worker process may be there for; one process can have several."""

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
    """A message to be: a task's name, its queue, and ids. It belongs to the trace within which it was made."""

    task: str
    queue: str
    arguments: tuple[str, ...]
    trace: Mapping[str, str] = field(default_factory=carrier, compare=False)


def stage_step(stage: Stage, job_id: uuid.UUID) -> QueuedStep:
    """The message that has a job's stage worked on; resynthesizing has one per queue of its sources instead."""
    task, queue = _STAGES[stage]
    return QueuedStep(task, queue, (str(job_id),))


def stage_task_name(stage: Stage) -> str:
    """The name of the task that works on a stage."""
    return _STAGES[stage][0]


def sources_step(job_id: uuid.UUID, queue: str) -> QueuedStep:
    """The message that has the sources of a job generated that wait in one queue, or what was brought of them taken in."""
    if queue == REFERENCE_QUEUE:
        return QueuedStep(REFERENCES_TASK, queue, (str(job_id),))
    return QueuedStep(RESYNTHESIZE_TASK, queue, (str(job_id), queue))


def resume_step(source: str) -> QueuedStep:
    """The message that jobs wait for a source and somebody should look whether there is room."""
    return QueuedStep(RESUME_TASK, REMOTE_QUEUE, (source,))


def notify_step() -> QueuedStep:
    """The message that deliveries are due; which ones, their rows say."""
    return QueuedStep(NOTIFY_TASK, NOTIFY_QUEUE, ())


def queue_of(source: Source) -> str:
    """Local sources have a queue each, so that a device's worker can drain one model before loading the next."""
    return f"local.{source.id}" if source.is_local else REMOTE_QUEUE


def required_roles(sources: Iterable[Source]) -> tuple[Role, ...]:
    """The roles that must have a warm worker before jobs on these sources can end."""
    queues = {queue_of(source) for source in sources}
    roles = [Role.LIGHT, Role.CAPTION, Role.EMBED]
    if queues - {REMOTE_QUEUE}:
        roles.append(Role.LOCAL)
    if REMOTE_QUEUE in queues:
        roles.append(Role.REMOTE)
    return tuple(roles)


def is_local(queue: str) -> bool:
    """Whether a queue is that of one source which this installation generates itself."""
    return queue != REMOTE_QUEUE
