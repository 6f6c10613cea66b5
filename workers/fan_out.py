"""Between captioning and resynthesising: hands every waiting source of a job to its queue, all at once."""

import uuid

from app.queue.steps import sources_step
from app.store import sources
from workers.process import Process


def fan_out(process: Process, job_id: uuid.UUID) -> None:
    """Enqueues one message per queue: a local source has one of its own, remote ones are asked at once by one worker.

    What is lost on the way, the sweep hands on again.
    """
    with process.database.statement() as session:
        queues = sources.fan_out(session, job_id)
    process.broker.enqueue([sources_step(job_id, queue) for queue in queues])
