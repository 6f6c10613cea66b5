"""What the API process owns between its start and its end; routers get at it through `dependencies`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

from anyio import Semaphore
from fastapi import FastAPI

from app.access.keyring import Keyring
from app.access.rates import RateLimits
from app.api.answers import Answers, connect_async_redis
from app.api.drain import stop_requested
from app.api.endings import Endings
from app.api.long_polling import LongPolling
from app.api.store_gauges import PoolGauges, StoreGauges
from app.db.blobs import Blobs
from app.db.database import Database, connect
from app.intake.acceptance import Intake
from app.intake.decoders import Decoders
from app.intake.idempotent_requests import IdempotentRequests
from app.intake.reference_images import ReferenceImages, ReferenceSubmission
from app.intake.spool import remove_abandoned
from app.jobs.capacity import Capacity
from app.jobs.snapshots import Snapshots, connect_redis
from app.queue.broker import Broker, make_celery
from app.queue.heartbeats import Heartbeats
from app.queue.messenger import Messenger
from app.queue.steps import is_local, queue_of, required_roles
from app.settings import Settings
from app.telemetry.tracing import configure_tracing
from app.vendors.circuit import which_are_open
from attribution.catalog import Catalog, load_catalog


class ApiState(TypedDict):
    """The lifespan's state, as `request.state` carries it."""

    settings: Settings
    database: Database
    snapshots: Snapshots
    answers: Answers
    waiting: LongPolling
    heartbeats: Heartbeats
    gauges: tuple[StoreGauges, PoolGauges]
    keyring: Keyring
    rates: RateLimits
    capacity: Capacity
    catalog: Catalog
    blobs: Blobs
    broker: Broker
    intake: Intake
    bringing: ReferenceSubmission
    decoders: Decoders
    once: IdempotentRequests
    uploads: Semaphore


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[ApiState]]:
    """The lifespan of an app with these settings; nothing connects yet. An unreadable catalog stops the start."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[ApiState]:
        configure_tracing(settings.tracing, "whodrew-api")
        catalog = load_catalog(settings.catalog.directories)
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
        asked = catalog.available(datetime.now(UTC).date())
        served = [source.id for source in asked if not is_local(queue_of(source))]
        store_gauges = StoreGauges(
            database,
            heartbeats,
            map(queue_of, asked),
            required_roles(asked),
            partial(which_are_open, redis, served),
        )
        decoders = Decoders(settings.intake)
        reference_images = ReferenceImages(blobs, decoders)
        intake = Intake(
            database=database,
            blobs=blobs,
            messenger=messenger,
            catalog=catalog,
            decoders=decoders,
            snapshots=snapshots,
            reference_images=reference_images,
            settings=settings,
        )
        bringing = ReferenceSubmission(
            database=database,
            blobs=blobs,
            images=reference_images,
            snapshots=snapshots,
            messenger=messenger,
        )
        remove_abandoned()
        with stop_requested(endings.give_up):
            try:
                await endings.start()
                yield ApiState(
                    settings=settings,
                    database=database,
                    snapshots=snapshots,
                    answers=answers,
                    waiting=LongPolling(answers, endings, settings.waiting),
                    heartbeats=heartbeats,
                    gauges=(store_gauges, PoolGauges(database)),
                    catalog=catalog,
                    blobs=blobs,
                    broker=broker,
                    intake=intake,
                    bringing=bringing,
                    keyring=Keyring(database, settings.access, settings.database),
                    rates=RateLimits(async_redis),
                    capacity=Capacity(database, settings),
                    decoders=decoders,
                    once=IdempotentRequests(database, intake, settings.intake.idempotency_ttl),
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
