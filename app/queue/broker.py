"""Celery's configuration, the same in every process, and the one function that enqueues.

A message is only a hint that a row is waiting: the row is the truth, so a lost message costs seconds (the sweep) and a
doubled one costs a query (the claim). Nothing here keeps results.
"""

from collections.abc import Iterable

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.queue.steps import QueuedStep
from app.settings import Settings

log = structlog.get_logger(__name__)


def make_celery(settings: Settings) -> Celery:
    """A Celery app that knows no task by itself; workers register theirs on it."""
    celery = Celery("whodrew", broker=settings.redis.url.get_secret_value())
    longest = max(settings.job.step_timeout, settings.job.deadline).total_seconds()
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # A task that outlives this runs twice at once (measured: three times); claims make that harmless,
            # this makes it rare.
            "visibility_timeout": round(longest) + 60,
            "socket_connect_timeout": settings.redis.timeout.total_seconds(),
            "health_check_interval": 5,
            "socket_keepalive": True,
        },
    )
    return celery


class Broker:
    """Hands messages to Celery after the commit that made them true."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def enqueue(self, steps: Iterable[QueuedStep]) -> bool:
        """Sends the messages; False when the broker is unavailable, which the sweep makes good."""
        steps = tuple(steps)
        if not steps:
            return True
        try:
            with self._celery.producer_pool.acquire(block=True) as producer:
                for step in steps:
                    self._celery.send_task(
                        step.task,
                        args=step.arguments,
                        headers=step.trace,
                        queue=step.queue,
                        producer=producer,
                        # A pooled connection that the broker closed fails once; the second try opens a new one.
                        retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
                    )
        except (OperationalError, RedisError, OSError) as error:
            log.warning("enqueue_failed", tasks=[step.task for step in steps], error=type(error).__name__)
            return False
        return True
