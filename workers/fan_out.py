"""Between captioning and resynthesising: hands every waiting source of a job to its queue, all at once."""

import uuid

from app.queue.steps import Step, source_step
from app.store import sources
from workers.process import Process


def fan_out(process: Process, job_id: uuid.UUID) -> None:
    """Enqueues one message per source to be drawn. What is lost on the way, the sweep hands on again."""
    with process.database.transaction(durable=False) as session:
        waiting = sources.fan_out(session, job_id)
    steps: list[Step] = [source_step(job_id, source, queue) for source, queue in waiting]
    process.broker.enqueue(steps)
