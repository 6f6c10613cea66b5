"""The resources of an API process, opened at its start and closed at its end; see `dependencies` for their use."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

from fastapi import FastAPI

from app.access.keyring import Keyring
from app.access.rates import RateLimits
from app.access.volumes import DailyVolumes
from app.api.http_protocol import allow_connections
from app.api.job_responses import JobReader, connect_async_redis
from app.api.long_polling import LongPolling
from app.api.store_gauges import Gauges, StoreGauges
from app.api.tenant_slots import TenantSlots
from app.api.wakeups import JobWakeups, stop_requested
from app.db.blobs import Blobs
from app.db.database import Database, connect
from app.intake.acceptance import Intake
from app.intake.decoders import Decoders
from app.intake.idempotent_requests import IdempotentRequests
from app.intake.reference_images import ReferenceImages, ReferenceSubmission
from app.intake.spool import remove_abandoned
from app.jobs.capacity import Capacity
from app.jobs.snapshots import Snapshots, connect_redis
from app.queue.broker import Broker, Messenger, make_celery
from app.queue.heartbeats import Heartbeats
from app.queue.steps import is_local, queue_of, required_roles
from app.settings import Settings
from app.telemetry.metrics import PoolGauges
from app.telemetry.tracing import configure_tracing
from app.vendors.circuit import which_are_open
from attribution.catalog import Catalog, load_catalog


class ApiState(TypedDict):
    """The lifespan's state, as `request.state` carries it."""

    settings: Settings
    database: Database
    snapshots: Snapshots
    job_reader: JobReader
    long_polling: LongPolling
    heartbeats: Heartbeats
    gauges: Gauges
    keyring: Keyring
    rates: RateLimits
    volumes: DailyVolumes
    capacity: Capacity
    catalog: Catalog
    blobs: Blobs
    broker: Broker
    intake: Intake
    reference_submission: ReferenceSubmission
    decoders: Decoders
    idempotent_requests: IdempotentRequests
    upload_slots: TenantSlots


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[ApiState]]:
    """The lifespan of an app with these settings; nothing connects yet. Raises where the catalog is invalid."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[ApiState]:
        configure_tracing(settings.tracing, "whodrew-api")
        catalog = load_catalog(settings.catalog.directories)
        database = Database(connect(settings.database))
        redis = connect_redis(settings.redis)
        async_redis = connect_async_redis(settings.redis)
        snapshots = Snapshots(redis, settings.redis)
        job_reader = JobReader(async_redis, snapshots, database)
        wakeups = JobWakeups(database, settings.redis, settings.long_polling)
        celery = make_celery(settings)
        broker = Broker(celery)
        messenger = Messenger(broker)
        blobs = Blobs(settings.blobs.url, durable=settings.blobs.durable)
        heartbeats = Heartbeats(redis)
        sources = catalog.available(datetime.now(UTC).date())
        remote = [source.id for source in sources if not is_local(queue_of(source))]
        store_gauges = StoreGauges(
            database,
            heartbeats,
            map(queue_of, sources),
            required_roles(sources),
            partial(which_are_open, redis, remote),
        )
        decoders = Decoders(settings.intake, evidence=False)
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
        reference_submission = ReferenceSubmission(
            database=database,
            blobs=blobs,
            images=reference_images,
            snapshots=snapshots,
            messenger=messenger,
        )
        volumes = DailyVolumes(database, settings.access)
        remove_abandoned()
        allow_connections(settings.api.max_connections)
        with stop_requested(wakeups.give_up):
            try:
                await wakeups.start()
                yield ApiState(
                    settings=settings,
                    database=database,
                    snapshots=snapshots,
                    job_reader=job_reader,
                    long_polling=LongPolling(job_reader, wakeups, settings.long_polling),
                    heartbeats=heartbeats,
                    gauges=(store_gauges, PoolGauges(database.engine)),
                    catalog=catalog,
                    blobs=blobs,
                    broker=broker,
                    intake=intake,
                    reference_submission=reference_submission,
                    keyring=Keyring(database, settings.access, settings.database),
                    rates=RateLimits(async_redis),
                    volumes=volumes,
                    capacity=Capacity(database, settings),
                    decoders=decoders,
                    idempotent_requests=IdempotentRequests(database, intake, settings.intake.idempotency_ttl),
                    upload_slots=TenantSlots(settings.intake.concurrent_uploads, settings.intake.uploads_per_tenant),
                )
            finally:
                decoders.close()
                await wakeups.stop()
                messenger.close(settings.redis.timeout.total_seconds())
                await async_redis.aclose(close_connection_pool=True)
                celery.close()
                redis.close()
                volumes.close()
                database.close()

    return run
