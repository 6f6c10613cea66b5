"""What the API process owns between its start and its end; routers get at it through `dependencies`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

from anyio import Semaphore
from fastapi import FastAPI

from app.access.capacity import Capacity
from app.access.keyring import Keyring
from app.access.rates import RateLimits
from app.api.answers import Answers, connect_async_redis
from app.api.drain import told_to_stop
from app.api.endings import Endings
from app.api.waiting import Waiting
from app.gauges import PoolGauges, StoreGauges
from app.intake.acceptance import Intake
from app.intake.bringing import Bringing
from app.intake.decoders import Decoders
from app.intake.drawings import Drawings
from app.intake.once import Once
from app.intake.spool import remove_abandoned
from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.queue.messenger import Messenger
from app.queue.steps import is_local, queue_of, required_roles
from app.settings import Settings
from app.store.blobs import Blobs
from app.store.database import Database, connect
from app.store.snapshots import Snapshots, connect_redis
from app.tracing import configure_tracing
from app.vendors.circuit import which_are_open
from attribution.catalogue import Catalogue, load_catalogue


class State(TypedDict):
    """The lifespan's state, as `request.state` carries it."""

    settings: Settings
    database: Database
    snapshots: Snapshots
    answers: Answers
    waiting: Waiting
    heartbeats: Heartbeats
    gauges: tuple[StoreGauges, PoolGauges]
    keyring: Keyring
    rates: RateLimits
    capacity: Capacity
    catalogue: Catalogue
    blobs: Blobs
    broker: Broker
    intake: Intake
    bringing: Bringing
    decoders: Decoders
    once: Once
    uploads: Semaphore


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[State]]:
    """The lifespan of an app with these settings; nothing connects yet. An unreadable catalogue stops the start."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[State]:
        configure_tracing(settings.tracing, "whodrew-api")
        catalogue = load_catalogue(settings.catalogue.directories)
        database = Database(connect(settings.database))
        redis = connect_redis(settings.redis)
        async_redis = connect_async_redis(settings.redis)
        snapshots = Snapshots(redis, settings.redis)
        answers = Answers(async_redis, snapshots, database)
        endings = Endings(database, settings.redis, settings.waiting)
        celery = make_celery(settings)
        # Only enqueueing happens here, never a blocking read, so that a broker that hangs can be given up early.
        celery.conf.broker_transport_options["socket_timeout"] = settings.redis.timeout.total_seconds()
        broker = Broker(celery)
        messenger = Messenger(broker)
        blobs = Blobs(settings.blobs.url)
        heartbeats = Heartbeats(redis)
        asked = catalogue.askable(datetime.now(UTC).date())
        served = [source.id for source in asked if not is_local(queue_of(source))]
        store_gauges = StoreGauges(
            database,
            heartbeats,
            map(queue_of, asked),
            required_roles(asked),
            partial(which_are_open, redis, served),
        )
        decoders = Decoders(settings.intake)
        drawings = Drawings(blobs, decoders)
        intake = Intake(
            database=database,
            blobs=blobs,
            messenger=messenger,
            catalogue=catalogue,
            decoders=decoders,
            snapshots=snapshots,
            drawings=drawings,
            settings=settings,
        )
        bringing = Bringing(
            database=database,
            blobs=blobs,
            drawings=drawings,
            snapshots=snapshots,
            messenger=messenger,
        )
        remove_abandoned()
        with told_to_stop(endings.give_up):
            try:
                await endings.start()
                yield State(
                    settings=settings,
                    database=database,
                    snapshots=snapshots,
                    answers=answers,
                    waiting=Waiting(answers, endings, settings.waiting),
                    heartbeats=heartbeats,
                    gauges=(store_gauges, PoolGauges(database)),
                    catalogue=catalogue,
                    blobs=blobs,
                    broker=broker,
                    intake=intake,
                    bringing=bringing,
                    keyring=Keyring(database, settings.access, settings.database),
                    rates=RateLimits(async_redis),
                    capacity=Capacity(database, settings),
                    decoders=decoders,
                    once=Once(database, intake, settings.intake.idempotency_ttl),
                    uploads=Semaphore(settings.intake.concurrent_uploads),
                )
            finally:
                await endings.stop()
                messenger.close(settings.redis.timeout.total_seconds())
                await async_redis.aclose(close_connection_pool=True)
                celery.close()
                redis.close()
                database.close()

    return run
