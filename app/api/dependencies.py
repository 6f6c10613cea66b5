"""What endpoints declare in their signatures: the caller with the scope it needs, and the process's resources.

Tests replace the functions by `dependency_overrides`. All of them are async: FastAPI runs every other kind in a thread,
which made polling half as fast.
"""

from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer, SecurityScopes

from app.access import keyring
from app.access.identity import Identity as Identity
from app.access.identity import Scope
from app.access.volumes import DailyVolumes
from app.api import job_responses, long_polling, store_gauges
from app.api.tenant_slots import TenantSlots
from app.db import blobs, database
from app.intake import acceptance, decoders, idempotent_requests, reference_images
from app.jobs import snapshots
from app.jobs.capacity import Capacity
from app.queue import broker, heartbeats
from app.settings import Settings as AllSettings
from attribution import catalog

# For the OpenAPI document only: `AuthenticationMiddleware` has checked the key before any endpoint runs.
_API_KEY = HTTPBearer(scheme_name="key", bearerFormat="wd_…", description="an API key", auto_error=False)


async def get_caller(request: Request, required: SecurityScopes, _: Annotated[Any, Security(_API_KEY)]) -> Identity:
    """The identity of the key, which has the required scopes. Raises InsufficientScope."""
    return cast(Identity, request.state.identity).require(required.scopes)


# Every endpoint that needs a key declares one of these; the scopes then stand in the OpenAPI document.
Caller = Annotated[Identity, Security(get_caller)]
Submitter = Annotated[Identity, Security(get_caller, scopes=[Scope.SUBMIT])]
Reader = Annotated[Identity, Security(get_caller, scopes=[Scope.READ])]
Administrator = Annotated[Identity, Security(get_caller, scopes=[Scope.ADMIN])]


async def get_admitted(request: Request, caller: Submitter) -> Identity:
    """A caller that may submit one more job now. Raises QuotaExceeded and ReducedCapacity."""
    await cast(DailyVolumes, request.state.volumes).check(caller)
    await cast(Capacity, request.state.capacity).check(caller)
    return caller


async def get_uploader(request: Request, caller: Submitter) -> Identity:
    """A caller that may upload something more today. Raises QuotaExceeded."""
    await cast(DailyVolumes, request.state.volumes).check(caller, jobs=0)
    return caller


Admitted = Annotated[Identity, Depends(get_admitted)]
Uploader = Annotated[Identity, Depends(get_uploader)]


def _of_lifespan(name: str) -> Any:
    async def get(request: Request) -> Any:
        return getattr(request.state, name)

    return Depends(get)


Keyring = Annotated[keyring.Keyring, _of_lifespan("keyring")]
Volumes = Annotated[DailyVolumes, _of_lifespan("volumes")]
Settings = Annotated[AllSettings, _of_lifespan("settings")]
Database = Annotated[database.Database, _of_lifespan("database")]
Snapshots = Annotated[snapshots.Snapshots, _of_lifespan("snapshots")]
JobReader = Annotated[job_responses.JobReader, _of_lifespan("job_reader")]
LongPolling = Annotated[long_polling.LongPolling, _of_lifespan("long_polling")]
Heartbeats = Annotated[heartbeats.Heartbeats, _of_lifespan("heartbeats")]
Gauges = Annotated[store_gauges.Gauges, _of_lifespan("gauges")]
Catalog = Annotated[catalog.Catalog, _of_lifespan("catalog")]
Blobs = Annotated[blobs.Blobs, _of_lifespan("blobs")]
Broker = Annotated[broker.Broker, _of_lifespan("broker")]
Intake = Annotated[acceptance.Intake, _of_lifespan("intake")]
ReferenceSubmission = Annotated[reference_images.ReferenceSubmission, _of_lifespan("reference_submission")]
UploadSlots = Annotated[TenantSlots, _of_lifespan("upload_slots")]
Decoders = Annotated[decoders.Decoders, _of_lifespan("decoders")]
IdempotentRequests = Annotated[idempotent_requests.IdempotentRequests, _of_lifespan("idempotent_requests")]
