"""What endpoints ask for in their signatures. Tests replace the functions by `dependency_overrides`.

All of them are async: FastAPI hands every other kind to a thread, which made polling half as fast.
"""

from typing import Annotated, cast

from anyio import Semaphore
from fastapi import Depends, Request

from app.access.identity import Identity as Identity
from app.access.scopes import Scope
from app.api import answers, long_polling, store_gauges
from app.db import blobs, database
from app.intake import acceptance, decoders, idempotent_requests, reference_images
from app.jobs import snapshots
from app.jobs.capacity import Capacity
from app.queue import broker, heartbeats
from app.settings import Settings as AllSettings
from attribution import catalog


async def get_caller(request: Request) -> Identity:
    """Who is calling, as the key says."""
    return cast(Identity, request.state.identity)


async def get_submitter(caller: "Caller") -> Identity:
    """Who may hand in images, and withdraw them."""
    return caller.holding(Scope.SUBMIT)


async def get_admitted(request: Request, caller: "Submitter") -> Identity:
    """Who may hand in one more image just now."""
    await cast(Capacity, request.state.capacity).check(caller)
    return caller


async def get_reader(caller: "Caller") -> Identity:
    """Who may see answers."""
    return caller.holding(Scope.READ)


async def get_administrator(caller: "Caller") -> Identity:
    """Who may change the tenant's keys, webhooks and rules, and read its audit log."""
    return caller.holding(Scope.ADMIN)


async def get_settings(request: Request) -> AllSettings:
    """The process's settings."""
    return cast(AllSettings, request.state.settings)


async def get_database(request: Request) -> database.Database:
    """The door to Postgres."""
    return cast(database.Database, request.state.database)


async def get_answers(request: Request) -> answers.Answers:
    """Jobs as they stand."""
    return cast(answers.Answers, request.state.answers)


async def get_snapshots(request: Request) -> snapshots.Snapshots:
    """Job documents in Redis, for who ends or deletes a job."""
    return cast(snapshots.Snapshots, request.state.snapshots)


async def get_waiting(request: Request) -> long_polling.LongPolling:
    """What waits on behalf of callers."""
    return cast(long_polling.LongPolling, request.state.waiting)


async def get_heartbeats(request: Request) -> heartbeats.Heartbeats:
    """Who is warm."""
    return cast(heartbeats.Heartbeats, request.state.heartbeats)


async def get_gauges(request: Request) -> tuple[store_gauges.StoreGauges, store_gauges.PoolGauges]:
    """What looks at the stores for Prometheus."""
    return cast(tuple[store_gauges.StoreGauges, store_gauges.PoolGauges], request.state.gauges)


async def get_catalog(request: Request) -> catalog.Catalog:
    """The sources."""
    return cast(catalog.Catalog, request.state.catalog)


async def get_blobs(request: Request) -> blobs.Blobs:
    """Images and vectors."""
    return cast(blobs.Blobs, request.state.blobs)


async def get_broker(request: Request) -> broker.Broker:
    """Hands messages to the workers."""
    return cast(broker.Broker, request.state.broker)


async def get_intake(request: Request) -> acceptance.Intake:
    """What accepts uploads."""
    return cast(acceptance.Intake, request.state.intake)


async def get_reference_submission(request: Request) -> reference_images.ReferenceSubmission:
    """What takes generated images that jobs wait for."""
    return cast(reference_images.ReferenceSubmission, request.state.bringing)


async def get_uploads(request: Request) -> Semaphore:
    """The places for uploads in progress."""
    return cast(Semaphore, request.state.uploads)


async def get_decoders(request: Request) -> decoders.Decoders:
    """The child processes that touch what callers send."""
    return cast(decoders.Decoders, request.state.decoders)


async def get_idempotent_requests(request: Request) -> idempotent_requests.IdempotentRequests:
    """What accepts jobs, each idempotency key one time."""
    return cast(idempotent_requests.IdempotentRequests, request.state.once)


Caller = Annotated[Identity, Depends(get_caller)]
Submitter = Annotated[Identity, Depends(get_submitter)]
Admitted = Annotated[Identity, Depends(get_admitted)]
Reader = Annotated[Identity, Depends(get_reader)]
Administrator = Annotated[Identity, Depends(get_administrator)]
Settings = Annotated[AllSettings, Depends(get_settings)]
Database = Annotated[database.Database, Depends(get_database)]
Answers = Annotated[answers.Answers, Depends(get_answers)]
Snapshots = Annotated[snapshots.Snapshots, Depends(get_snapshots)]
Waiting = Annotated[long_polling.LongPolling, Depends(get_waiting)]
Heartbeats = Annotated[heartbeats.Heartbeats, Depends(get_heartbeats)]
Gauges = Annotated[tuple[store_gauges.StoreGauges, store_gauges.PoolGauges], Depends(get_gauges)]
Catalog = Annotated[catalog.Catalog, Depends(get_catalog)]
Blobs = Annotated[blobs.Blobs, Depends(get_blobs)]
Broker = Annotated[broker.Broker, Depends(get_broker)]
Intake = Annotated[acceptance.Intake, Depends(get_intake)]
Bringing = Annotated[reference_images.ReferenceSubmission, Depends(get_reference_submission)]
Uploads = Annotated[Semaphore, Depends(get_uploads)]
Decoders = Annotated[decoders.Decoders, Depends(get_decoders)]
Once = Annotated[idempotent_requests.IdempotentRequests, Depends(get_idempotent_requests)]
