"""Wakes the requests that wait for jobs to end: one subscription per process, and a query from time to time.

Workers publish on a channel which job has ended. Messages can be lost, with Redis unavailable all of them are, so every
few seconds one query asks which of all awaited jobs have ended; it costs the same for one request and for a thousand.
"""

import asyncio
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
from anyio import sleep, to_thread
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.db.database import Database
from app.jobs.listing import list_ended_among
from app.jobs.snapshots import ENDED_CHANNEL
from app.settings import LongPollingSettings, RedisSettings

log = structlog.get_logger(__name__)

# Silence on the channel, after which the server is pinged.
_SILENCE_SECONDS = 5
_LONGEST_PAUSE_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class JobWakeups:
    """The requests that wait, by job. All methods belong to the event loop."""

    def __init__(self, database: Database, redis: RedisSettings, long_polling: LongPollingSettings) -> None:
        self._database = database
        self._redis = redis
        self._check_every = long_polling.check_every.total_seconds()
        self._waiters: dict[bytes, set[asyncio.Event]] = {}  # by a job's id, as the channel has it
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    @contextmanager
    def expected(self, job_id: uuid.UUID) -> Iterator[asyncio.Event]:
        """Within the block the event is set when the job has ended. Read the job after entering, so none is missed."""
        event, key = asyncio.Event(), str(job_id).encode()
        self._waiters.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiters[key].remove(event)
            if not self._waiters[key]:
                del self._waiters[key]

    async def start(self) -> None:
        """Starts the subscription and the queries."""
        self._tasks = [asyncio.create_task(work) for work in (self._subscribe(), self._check())]

    async def stop(self) -> None:
        """Ends both."""
        while left := [task for task in self._tasks if not task.done()]:
            for task in left:
                task.cancel()
            # The Redis client swallows a cancellation that meets it while it connects: it needs another one.
            await asyncio.wait(left, timeout=0.1)

    def give_up(self) -> None:
        """Wakes all requests for good: the process is about to stop, and clients can ask another one."""
        self.stopping = True
        for key in self._waiters:
            self._wake(key)

    def _wake(self, key: bytes) -> None:
        for event in self._waiters.get(key, ()):
            event.set()

    async def _subscribe(self) -> None:
        pause = 0.1
        while True:
            try:
                async with self._connect() as redis, redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(ENDED_CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=_SILENCE_SECONDS)
                        pause = 0.1
                        if message is not None:
                            self._wake(message["data"])
            except (RedisError, OSError) as error:
                log.warning("subscription_lost", error=type(error).__name__)
            await sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _connect(self) -> Redis:
        timeout = self._redis.timeout.total_seconds()
        return Redis.from_url(
            self._redis.url.get_secret_value(),
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=_SILENCE_SECONDS,
            retry=None,
        )

    async def _check(self) -> None:
        while True:
            await sleep(self._check_every)
            if not self._waiters:
                continue
            try:
                ended = await to_thread.run_sync(self._ended, [uuid.UUID(key.decode()) for key in self._waiters])
            except SQLAlchemyError as error:
                log.warning("postgres_unavailable", error=type(error).__name__)
                continue
            for job_id in ended:
                self._wake(str(job_id).encode())

    def _ended(self, job_ids: list[uuid.UUID]) -> list[uuid.UUID]:
        with self._database.statement() as session:
            return list(list_ended_among(session, job_ids))


@contextmanager
def stop_requested(do: Callable[[], None]) -> Iterator[None]:
    """Within the block the signals to stop also run `do` in the event loop, before their other handlers.

    The server waits for open requests before it stops the app: those that wait for a job would delay it as long.
    """
    if threading.current_thread() is not threading.main_thread():  # as in tests: only the main thread handles signals
        yield
        return
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(do)
        then = former[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
