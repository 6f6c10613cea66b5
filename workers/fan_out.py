"""Between captioning and resynthesising: hands every waiting source of a job to its queue, all at once."""

import uuid

from app.queue.steps import sources_step, stage_step
from app.store import sources
from workers.process import Process


def fan_out(process: Process, job_id: uuid.UUID) -> None:
    """Enqueues one message per queue: a local source has one of its own, remote ones are asked at once by one worker.

    A job none of whose sources can be asked goes on to be ranked. What is lost on the way, the sweep hands on again.
    """
    with process.database.statement() as session:
        queues = sources.fan_out(session, job_id)
    if queues:
        process.broker.enqueue([sources_step(job_id, queue) for queue in queues])
        return
    with process.database.transaction(durable=False) as session:
        stage = None if sources.lock(session, job_id) is None else sources.join(session, job_id)
    if stage is not None:
        process.broker.enqueue([stage_step(stage, job_id)])
