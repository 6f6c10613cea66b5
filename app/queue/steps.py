"""The names that API and workers agree on: tasks, their queues, and which task serves which stage."""

import uuid
from dataclasses import dataclass

from app.store.models import Stage
from attribution.catalogue import Source

REMOTE_QUEUE = "remote"
SWEEP_QUEUE = "sweep"
RESYNTHESISE_TASK = "workers.resynthesise"
FAN_OUT_TASK = "workers.fan_out"
SWEEP_TASK = "workers.sweep"
# Roles a worker process can have; a service answers only when each has a warm one.
ROLES = ("light", "models", "local", "remote")

_STAGES = {
    Stage.SCREENING: ("workers.screen", "screen"),
    Stage.CAPTIONING: ("workers.caption", "caption"),
    Stage.RESYNTHESISING: (FAN_OUT_TASK, "fan_out"),
    Stage.EMBEDDING: ("workers.embed", "embed"),
    Stage.RANKING: ("workers.rank", "rank"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A message to be: a task's name, its queue, and ids."""

    task: str
    queue: str
    arguments: tuple[str, ...]


def stage_step(stage: Stage, job_id: uuid.UUID) -> Step:
    """The message that has a job's stage worked on."""
    task, queue = _STAGES[stage]
    return Step(task, queue, (str(job_id),))


def source_step(job_id: uuid.UUID, source: str, queue: str) -> Step:
    """The message that has one source of a job drawn."""
    return Step(RESYNTHESISE_TASK, queue, (str(job_id), source))


def queue_of(source: Source) -> str:
    """Local sources have a queue each, so that a device's worker can drain one model before loading the next."""
    return f"local.{source.id}" if source.platform == "local" else REMOTE_QUEUE
