"""Between captioning and resynthesizing: hands every waiting source of a job to its queue, all at once."""

import uuid

from app.jobs import service, source_repository
from app.queue.steps import notify_step, sources_step, stage_step
from workers.cached_images import at_fan_out
from workers.process import Process


def fan_out(process: Process, job_id: uuid.UUID) -> None:
    """Enqueues one message per queue: a local source has one of its own, remote ones are asked at once by one worker.

    A source whose generated images are all in the cache is done here, and needs none. A job none of whose sources can be asked
    goes on to be ranked. What is lost on the way, the sweep hands on again.
    """
    with process.database.statement() as session:
        waiting = source_repository.list_pending_for_fan_out(session, job_id)
    done, stage, told = at_fan_out(process, job_id, waiting) if waiting else (set[str](), None, False)
    if not waiting:
        with process.database.transaction(durable=False) as session:
            stage = service.advance_without_sources(session, job_id)
    queues = dict.fromkeys(each.queue for each in waiting if each.source not in done)
    steps = [sources_step(job_id, queue) for queue in queues]
    steps += [stage_step(stage, job_id)] if stage is not None else []
    process.broker.enqueue([*steps, notify_step()] if told else steps)
