"""Celery's configuration, the same in every process, and enqueueing: at once, or from a thread of its own.

A message is only a hint that a row waits for a worker: a lost message costs seconds (the sweep), a duplicate costs a
query (the claim). Results are not kept.
"""

import queue
import socket
from collections.abc import Iterable
from threading import Thread

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.queue import redis_transport
from app.queue.steps import QueuedStep
from app.settings import Settings

log = structlog.get_logger(__name__)

# Messages sent over one connection before the messenger checks whether to stop.
_BATCH = 100


def make_celery(settings: Settings, *, consumes: bool = False) -> Celery:
    """A Celery app without tasks; workers register theirs on it. One that only sends waits for Redis with a limit."""
    celery = Celery("whodrew", broker=settings.redis.url.get_secret_value())
    longest = max(settings.job.step_timeout, settings.job.deadline).total_seconds()
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        # With late acknowledgment the prefetch count drifts, and a worker hoards messages that others could take.
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport=redis_transport.NAME,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            # A task that outlives this runs twice at once (measured: three times); claims make that harmless,
            # this makes it rare.
            "visibility_timeout": round(longest) + 60,
            "socket_connect_timeout": settings.redis.timeout.total_seconds(),
            "health_check_interval": 5,
            # A host that vanished is noticed by a worker that waits for messages.
            "socket_keepalive": True,
            "socket_keepalive_options": {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3},
        },
    )
    if not consumes:
        celery.conf.broker_transport_options["socket_timeout"] = settings.redis.timeout.total_seconds()
    return celery


class Broker:
    """Sends messages to Celery, after the commit of the rows that they are about."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def enqueue(self, steps: Iterable[QueuedStep]) -> bool:
        """Sends the messages; False where the broker is unavailable, after which the sweep enqueues the steps."""
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


class Messenger:
    """Sends messages from a thread of its own, in order: accepting a job waits neither for the broker nor for a thread.

    The sweep enqueues what is lost when this process dies or the broker is unavailable.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: queue.SimpleQueue[tuple[QueuedStep, ...] | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._send, name="messenger", daemon=True)
        self._thread.start()

    def enqueue(self, steps: Iterable[QueuedStep]) -> None:
        """Returns at once. Call it after the commit of the rows that the messages are about."""
        self._waiting.put(tuple(steps))

    def close(self, timeout: float) -> None:
        """Sends the remaining messages, for at most so many seconds."""
        self._waiting.put(None)
        self._thread.join(timeout)

    def _send(self) -> None:
        while (steps := self._waiting.get()) is not None:
            batch = list(steps)
            last = False
            while len(batch) < _BATCH and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    last = True
                    break
                batch += more
            self._broker.enqueue(batch)
            if last:
                return
