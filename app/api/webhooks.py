"""/webhooks: a tenant's endpoints with their secrets, and the deliveries to them with their attempts."""

import uuid
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field, StrictBool
from sqlalchemy.orm import Session

from app.access.audit import record
from app.api.dependencies import Administrator, Broker, Database, Identity, Settings
from app.api.openapi import DOCUMENT, problems
from app.api.pages import Cursor, Limit, Listing, NextCursor
from app.api.request_bodies import DocumentRoute
from app.db.models import WebhookDelivery, WebhookEndpoint
from app.document_base import Document
from app.egress import check_url
from app.errors import (
    AddressRefused,
    EndpointDisabled,
    InvalidRequest,
    NotFound,
)
from app.queue.steps import notify_step
from app.webhooks import deliveries, endpoints
from app.webhooks.endpoints import receiver_rules
from app.webhooks.events import EventType
from app.webhooks.schedule import DeliveryState
from app.webhooks.signing import message_id

router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=DocumentRoute)

_PROBLEMS = problems(NotFound)
_DISABLED = "It was disabled by its owner."

Url = Annotated[
    str,
    Field(
        max_length=4_096, json_schema_extra={"format": "uri"}, examples=["https://moderation.example/hooks/attribution"]
    ),
]
Events = Annotated[tuple[EventType, ...], Field(min_length=1, max_length=len(EventType))]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewEndpoint(Document):
    """A new endpoint."""

    url: Url
    events: Events = Field(tuple(EventType), description="the types of events to send; by default all")
    description: Description | None = None


class EndpointChange(Document):
    """A change of an endpoint; omitted members stay as they are."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: StrictBool | None = Field(
        None,
        description="false drops pending deliveries; true also enables an endpoint that was disabled for its responses",
    )


class EndpointDocument(Document):
    """An endpoint."""

    id: uuid.UUID
    url: str
    events: list[EventType]
    description: str | None
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime


class SecretDocument(Document):
    """The secret that verifies signatures, in the format of Standard Webhooks."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])


class NewEndpointDocument(EndpointDocument, SecretDocument):
    """A new endpoint and its secret."""


class EndpointsDocument(Document):
    """All endpoints of the tenant, oldest first."""

    endpoints: list[EndpointDocument]


class DeliveryDocument(Document):
    """One event for one receiver."""

    id: uuid.UUID
    webhook_id: str = Field(description="the `webhook-id` header, the same for every attempt")
    job: uuid.UUID | None = Field(description="null for a ping")
    endpoint: uuid.UUID | None = Field(description="null for the `webhook_url` of a job")
    url: str
    type: str
    sequence: int
    state: DeliveryState = Field(
        description="`failed`: all attempts of the schedule failed; `dropped`: the receiver responded with 410 or was "
        "disabled"
    )
    attempts: int
    next_attempt_at: datetime | None = Field(description="null: no attempt follows")
    created_at: datetime
    completed_at: datetime | None


class AttemptDocument(Document):
    """One attempt with its response."""

    number: int
    started_at: datetime
    seconds: float
    status: int | None = Field(description="null: no response")
    error: str | None
    response: str | None = Field(description="the first kilobyte of the response's body")


class AttemptedDeliveryDocument(DeliveryDocument):
    """A delivery with its payload and its attempts."""

    payload: str = Field(description="the exact text that is signed and sent")
    attempted: list[AttemptDocument] = Field(description="completed attempts, oldest first")


class DeliveriesDocument(Document):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryDocument]
    next_cursor: NextCursor


@router.post(
    "",
    status_code=201,
    responses=problems(*DOCUMENT, AddressRefused),
)
def create_endpoint(
    new: NewEndpoint,
    request: Request,
    response: Response,
    caller: Administrator,
    settings: Settings,
    database: Database,
) -> NewEndpointDocument:
    """Create an endpoint for the events of all jobs accepted from now on. The response has the signing secret."""
    url = check_url(new.url, receiver_rules(settings))
    with database.transaction() as session:
        if endpoints.lock_and_count(session, caller.tenant_id) >= settings.webhooks.max_endpoints:
            most = settings.webhooks.max_endpoints
            raise InvalidRequest(f"A tenant may have {most} webhook endpoints; delete one first.")
        endpoint = endpoints.insert_endpoint(session, caller.tenant_id, url, new.events, new.description)
        _note(session, request, caller, "webhook.created", endpoint.id)
    response.headers["Location"] = f"/webhooks/{endpoint.id}"
    return NewEndpointDocument(**_endpoint(endpoint).model_dump(), secret=endpoint.secrets[0]["secret"])


@router.get("", responses=problems())
def list_endpoints(caller: Administrator, database: Database) -> EndpointsDocument:
    """List the endpoints."""
    with database.statement() as session:
        rows = endpoints.list_for_tenant(session, caller.tenant_id)
    return EndpointsDocument(endpoints=[_endpoint(row) for row in rows])


@router.get("/default/secret", responses=problems())
def get_default_secret(request: Request, caller: Administrator, database: Database) -> SecretDocument:
    """Get the secret that signs deliveries to the `webhook_url` of single jobs."""
    with database.transaction() as session:
        secret = endpoints.get_or_create_default_secret(session, caller.tenant_id)
        _note(session, request, caller, "webhook.secret_read", caller.tenant_id)
    return SecretDocument(secret=secret)


@router.get("/deliveries", responses=problems(InvalidRequest))
def list_deliveries(
    caller: Administrator,
    database: Database,
    job: uuid.UUID | None = None,
    endpoint: uuid.UUID | None = None,
    state: DeliveryState | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> DeliveriesDocument:
    """List deliveries, newest first."""
    listing = Listing("deliveries", caller.tenant_id, (job, endpoint, state))
    with database.statement() as session:
        rows = deliveries.list_for_tenant(
            session,
            caller.tenant_id,
            job_id=job,
            endpoint_id=endpoint,
            state=state,
            before=listing.after_id(cursor),
            limit=limit + 1,
        )
    page, next_cursor = listing.page(rows, limit)
    return DeliveriesDocument(deliveries=[_delivery(row) for row in page], next_cursor=next_cursor)


@router.get("/deliveries/{delivery_id:uuid}", responses=_PROBLEMS)
def get_delivery(delivery_id: uuid.UUID, caller: Administrator, database: Database) -> AttemptedDeliveryDocument:
    """Get a delivery with its attempts."""
    with database.transaction(durable=False) as session:
        row = _found_delivery(session, caller, delivery_id)
        attempts = deliveries.list_attempts(session, row.id)
    return AttemptedDeliveryDocument(
        **_delivery(row).model_dump(),
        payload=row.payload,
        attempted=[AttemptDocument.model_validate(each) for each in attempts],
    )


@router.post(
    "/deliveries/{delivery_id:uuid}/redeliver",
    status_code=202,
    responses=problems(NotFound, EndpointDisabled),
)
def redeliver(
    delivery_id: uuid.UUID, request: Request, caller: Administrator, database: Database, broker: Broker
) -> DeliveryDocument:
    """Send a delivery again, now, with the same `webhook-id`: one more attempt, then the rest of its schedule."""
    with database.transaction() as session:
        row = _found_delivery(session, caller, delivery_id)
        url = row.url
        if row.endpoint_id is not None:
            url = _enabled(_found(session, caller, row.endpoint_id)).url
        row = deliveries.requeue(session, row, url)
        _note(session, request, caller, "webhook.redelivered", row.id)
    broker.enqueue([notify_step()])
    return _delivery(row)


@router.get("/{endpoint_id:uuid}", responses=_PROBLEMS)
def get_endpoint(endpoint_id: uuid.UUID, caller: Administrator, database: Database) -> EndpointDocument:
    """Get an endpoint."""
    with database.transaction(durable=False) as session:
        return _endpoint(_found(session, caller, endpoint_id))


@router.patch(
    "/{endpoint_id:uuid}",
    responses=problems(*DOCUMENT, NotFound, AddressRefused),
)
def change_endpoint(
    endpoint_id: uuid.UUID,
    change: EndpointChange,
    request: Request,
    caller: Administrator,
    settings: Settings,
    database: Database,
) -> EndpointDocument:
    """Change, enable or disable an endpoint. Pending deliveries go to the new URL."""
    url = None if change.url is None else check_url(change.url, receiver_rules(settings))
    with database.transaction() as session:
        endpoint = _found(session, caller, endpoint_id)
        if url is not None:
            endpoints.update_url(session, endpoint, url)
        if change.events is not None:
            endpoint.events = list(change.events)
        if "description" in change.model_fields_set:
            endpoint.description = change.description
        if change.enabled:
            endpoints.enable(endpoint)
        session.flush()
        if change.enabled is False:
            endpoints.disable(session, endpoint.id, _DISABLED)
            session.refresh(endpoint)
        _note(session, request, caller, "webhook.changed", endpoint.id)
    return _endpoint(endpoint)


@router.delete("/{endpoint_id:uuid}", status_code=204, responses=_PROBLEMS)
def delete_endpoint(endpoint_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> None:
    """Delete an endpoint with all its deliveries."""
    with database.transaction() as session:
        session.delete(_found(session, caller, endpoint_id))
        _note(session, request, caller, "webhook.deleted", endpoint_id)


@router.get("/{endpoint_id:uuid}/secret", responses=_PROBLEMS)
def get_secret(endpoint_id: uuid.UUID, request: Request, caller: Administrator, database: Database) -> SecretDocument:
    """Get the secret that signs deliveries to an endpoint."""
    with database.transaction() as session:
        endpoint = _found(session, caller, endpoint_id)
        _note(session, request, caller, "webhook.secret_read", endpoint.id)
    return SecretDocument(secret=endpoint.secrets[0]["secret"])


@router.post("/{endpoint_id:uuid}/rotate", responses=_PROBLEMS)
def rotate_secret(
    endpoint_id: uuid.UUID, request: Request, caller: Administrator, settings: Settings, database: Database
) -> SecretDocument:
    """Rotate an endpoint's secret. For a day, unless configured otherwise, the former one signs as well."""
    with database.transaction() as session:
        endpoint = _found(session, caller, endpoint_id)
        secret = endpoints.rotate_secret(endpoint, datetime.now(UTC), settings.webhooks.rotation_overlap)
        session.flush()
        _note(session, request, caller, "webhook.secret_rotated", endpoint.id)
    return SecretDocument(secret=secret)


@router.post(
    "/{endpoint_id:uuid}/ping",
    status_code=202,
    responses=problems(NotFound, EndpointDisabled),
)
def ping_endpoint(
    endpoint_id: uuid.UUID, caller: Administrator, database: Database, broker: Broker
) -> DeliveryDocument:
    """Send a signed `webhook.ping` to an endpoint; GET the delivery for its outcome."""
    with database.transaction() as session:
        row = deliveries.insert_ping(session, _enabled(_found(session, caller, endpoint_id)), datetime.now(UTC))
    broker.enqueue([notify_step()])
    return _delivery(row)


def _found(session: Session, caller: Identity, endpoint_id: uuid.UUID) -> WebhookEndpoint:
    endpoint = endpoints.get_by_id_for_update(session, caller.tenant_id, endpoint_id)
    if endpoint is None:
        raise NotFound(f"There is no webhook endpoint {endpoint_id}.")
    return endpoint


def _found_delivery(session: Session, caller: Identity, delivery_id: uuid.UUID) -> WebhookDelivery:
    row = deliveries.get_by_id(session, caller.tenant_id, delivery_id)
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id}.")
    return row


def _enabled(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    if endpoint.disabled_at is not None:
        raise EndpointDisabled("The endpoint is disabled; enable it first, with PATCH and `enabled`.")
    return endpoint


def _note(session: Session, request: Request, caller: Identity, action: str, subject: uuid.UUID) -> None:
    record(session, caller.tenant_id, caller.actor, action, str(subject), request.state.request_id)


def _endpoint(row: WebhookEndpoint) -> EndpointDocument:
    return EndpointDocument(
        id=row.id,
        url=row.url,
        events=[EventType(name) for name in row.events],
        description=row.description,
        enabled=row.disabled_at is None,
        disabled_at=row.disabled_at,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
    )


def _delivery(row: WebhookDelivery) -> DeliveryDocument:
    state = DeliveryState(row.state)
    return DeliveryDocument(
        id=row.id,
        webhook_id=message_id(row.id),
        job=row.job_id,
        endpoint=row.endpoint_id,
        url=row.url,
        type=row.type,
        sequence=row.sequence,
        state=state,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if state is DeliveryState.PENDING else None,
        created_at=row.created_at,
        completed_at=row.completed_at,
    )
