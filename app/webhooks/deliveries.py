"""SQL of deliveries: an event becomes one row per receiver in the transaction of its cause, and rows are sent later.

Events of a job are inserted under its row lock, so that they are counted without gaps. Claims follow the
rule of every step here: a lease, and a record that is fenced by the claim's attempt.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource, JobStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks import events
from app.webhooks.endpoints import disable, get_or_create_default_secret, signing_secrets
from app.webhooks.events import EventType, JobData, WebhookEvent
from app.webhooks.schedule import Decision, DeliveryState

# Rows looked at for each that may be claimed, because some belong to receivers that are at their limit.
_LOOK_AHEAD = 4
# Whether a tenant has an enabled endpoint, as SQL.
HAS_ENDPOINT = "EXISTS (SELECT FROM webhook_endpoints WHERE tenant_id = :tenant_id AND disabled_at IS NULL)"
GONE_REASON = "The endpoint answered 410 Gone."


def insert_started(session: Session, job_id: uuid.UUID) -> bool:
    """Inserts the event of a job's start, once; False where that was done, or the job is not being processed."""
    job = session.scalars(
        select(Job).where(Job.id == job_id, Job.status == JobStatus.PROCESSING).with_for_update()
    ).one_or_none()
    inserted = exists().where(WebhookDelivery.job_id == job_id, WebhookDelivery.type == EventType.STARTED)
    if job is None or session.scalar(select(inserted)):
        return False
    return insert_for_receivers(session, job, [events.started(job)])


def insert_sources_finished(session: Session, job_id: uuid.UUID, sources: Collection[str]) -> bool:
    """Inserts the events of sources that ended in this transaction, under the job's lock; whether there were any."""
    if not sources:
        return False
    job = session.get_one(Job, job_id, populate_existing=True)
    rows = session.scalars(
        select(JobSource)
        .where(JobSource.job_id == job_id, JobSource.source.in_(sources))
        .order_by(JobSource.completed_at, JobSource.position)
        .execution_options(populate_existing=True)
    )
    return insert_for_receivers(session, job, [events.source_finished(job, row) for row in rows])


def insert_ended(session: Session, job: Job) -> bool:
    """Inserts the event of a job's end, in the transaction that ended it; whether there was any. No statement without
    receivers."""
    return job.notify and insert_for_receivers(session, job, [events.ended(job)])


def insert_for_receivers(session: Session, job: Job, events_of_job: Sequence[WebhookEvent[JobData]]) -> bool:
    """A row for each event and each receiver that wants its type; whether there was any.

    The caller holds the job's row lock: the sequence continues from the receiver's last event of this job.
    """
    receivers: list[tuple[uuid.UUID | None, str, Collection[str]]] = []
    if job.webhook_url is not None:
        receivers.append((None, job.webhook_url, list(EventType) if job.webhook_events is None else job.webhook_events))
    endpoints = session.execute(
        select(WebhookEndpoint.id, WebhookEndpoint.url, WebhookEndpoint.events)
        .where(WebhookEndpoint.tenant_id == job.tenant_id, WebhookEndpoint.disabled_at.is_(None))
        .order_by(WebhookEndpoint.id)
    )
    receivers += [(endpoint_id, url, wanted) for endpoint_id, url, wanted in endpoints]
    counted = session.execute(
        select(WebhookDelivery.endpoint_id, func.max(WebhookDelivery.sequence).label("last"))
        .where(WebhookDelivery.job_id == job.id)
        .group_by(WebhookDelivery.endpoint_id)
    )
    sequence = Counter({row.endpoint_id: row.last for row in counted})
    rows = []
    for event in events_of_job:
        for endpoint_id, url, wanted in receivers:
            if event.type in wanted:
                sequence[endpoint_id] += 1
                rows.append(
                    {
                        "tenant_id": job.tenant_id,
                        "job_id": job.id,
                        "endpoint_id": endpoint_id,
                        "url": url,
                        "type": event.type,
                        "sequence": sequence[endpoint_id],
                        "payload": event.payload(sequence[endpoint_id]),
                    }
                )
    if rows:
        session.execute(insert(WebhookDelivery), rows)
    return bool(rows)


def insert_ping(session: Session, endpoint: WebhookEndpoint, now: datetime) -> WebhookDelivery:
    """A delivery that only tests the endpoint."""
    event = events.ping(endpoint.id, now)
    return session.scalars(
        insert(WebhookDelivery)
        .values(
            tenant_id=endpoint.tenant_id,
            endpoint_id=endpoint.id,
            url=endpoint.url,
            type=event.type,
            sequence=1,
            payload=event.payload(1),
        )
        .returning(WebhookDelivery)
    ).one()


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """A delivery to be attempted now: where, what, and which secrets sign it."""

    id: uuid.UUID
    endpoint_id: uuid.UUID | None
    url: str
    host: str
    payload: str
    attempt: int
    secrets: tuple[str, ...]


# The host and port of a delivery's address, which is in its normal form.
_HOST: ColumnElement[str] = func.substring(WebhookDelivery.url, "//([^/?#]*)")


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(
        WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.next_attempt_at <= now,
        or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until < now),
    )


def exists_due(session: Session, now: datetime) -> bool:
    """Whether anything waits to be sent."""
    return session.scalar(select(WebhookDelivery.id).where(_due(now)).limit(1)) is not None


def claim_due(
    session: Session,
    now: datetime,
    lease: timedelta,
    *,
    most: int,
    at_once: int,
    under_way: Mapping[str, int],
    paused: Collection[str],
) -> list[DeliveryClaim]:
    """Takes up to `most` deliveries that are due, oldest first, and no more than `at_once` for a host.

    `under_way` counts the caller's other attempts by host; `paused` are addresses that nothing is sent to for now.
    """
    full = [name for name, count in under_way.items() if count >= at_once]
    waiting = session.execute(
        select(WebhookDelivery.id, _HOST)
        .where(_due(now), _HOST.not_in(full), WebhookDelivery.url.not_in(paused))
        .order_by(WebhookDelivery.next_attempt_at)
        .limit(most * _LOOK_AHEAD)
        .with_for_update(skip_locked=True)
    )
    taken = Counter(under_way)
    chosen: dict[uuid.UUID, str] = {}
    for delivery_id, name in waiting:
        if len(chosen) < most and taken[name] < at_once:
            taken[name] += 1
            chosen[delivery_id] = name
    if not chosen:
        return []
    rows = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(chosen))
        .values(lease_until=now + lease, attempts=WebhookDelivery.attempts + 1)
        .returning(WebhookDelivery)
    ).all()
    keys = _keys(session, rows, now)
    return [
        DeliveryClaim(row.id, row.endpoint_id, row.url, chosen[row.id], row.payload, row.attempts, keys[_signer(row)])
        for row in rows
    ]


def _signer(row: WebhookDelivery) -> uuid.UUID:
    return row.endpoint_id or row.tenant_id


def _keys(session: Session, rows: Sequence[WebhookDelivery], now: datetime) -> dict[uuid.UUID, tuple[str, ...]]:
    """The secrets that sign now, by endpoint, or by tenant for jobs' own addresses."""
    of_endpoints = select(WebhookEndpoint.id, WebhookEndpoint.secrets).where(
        WebhookEndpoint.id.in_({row.endpoint_id for row in rows if row.endpoint_id})
    )
    keys = {endpoint_id: signing_secrets(stored, now) for endpoint_id, stored in session.execute(of_endpoints)}
    for tenant_id in sorted({row.tenant_id for row in rows if row.endpoint_id is None}):
        keys[tenant_id] = (get_or_create_default_secret(session, tenant_id),)
    return keys


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt: a status with the beginning of the response, or the reason why there was none."""

    started_at: datetime
    seconds: float
    status: int | None
    response: str | None
    error: str | None


def record_attempt(session: Session, claimed: DeliveryClaim, attempt: Attempt, decision: Decision) -> bool:
    """Records an attempt and the decision that follows; False when the claim was fenced off meanwhile.

    One statement, unless the receiver is gone for good.
    """
    given = asdict(attempt) | {
        "id": claimed.id,
        "number": claimed.attempt,
        "state": decision.state,
        "next_attempt_at": decision.next_attempt_at,
    }
    stood = session.execute(_RECORD, given).one_or_none() is not None
    if stood and decision.gone and claimed.endpoint_id is not None:
        disable(session, claimed.endpoint_id, GONE_REASON)
    return stood


_RECORD = text(
    """
    WITH stood AS (
        UPDATE webhook_deliveries SET
            state = :state, lease_until = NULL,
            next_attempt_at = coalesce(CAST(:next_attempt_at AS timestamptz), next_attempt_at),
            completed_at = CASE WHEN :state <> 'pending' THEN clock_timestamp() END
        WHERE id = :id AND attempts = :number AND state = 'pending'
        RETURNING id
    )
    INSERT INTO webhook_attempts (delivery_id, number, started_at, seconds, status, error, response)
    SELECT id, :number, :started_at, :seconds, :status, :error, :response FROM stood
    RETURNING delivery_id
    """
)


def get_by_id(session: Session, tenant_id: uuid.UUID, delivery_id: uuid.UUID) -> WebhookDelivery | None:
    """The delivery, if it is this tenant's."""
    return session.scalars(
        select(WebhookDelivery).where(WebhookDelivery.id == delivery_id, WebhookDelivery.tenant_id == tenant_id)
    ).one_or_none()


def list_attempts(session: Session, delivery_id: uuid.UUID) -> Sequence[WebhookAttempt]:
    """The attempts whose outcome is known, oldest first."""
    return session.scalars(
        select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery_id).order_by(WebhookAttempt.number)
    ).all()


def list_for_tenant(
    session: Session,
    tenant_id: uuid.UUID,
    *,
    job_id: uuid.UUID | None,
    endpoint_id: uuid.UUID | None,
    state: DeliveryState | None,
    before: uuid.UUID | None,
    limit: int,
) -> Sequence[WebhookDelivery]:
    """The tenant's deliveries, newest first, from below the id `before` on; ids are ordered by time."""
    found = select(WebhookDelivery).where(WebhookDelivery.tenant_id == tenant_id)
    for column, value in (
        (WebhookDelivery.job_id, job_id),
        (WebhookDelivery.endpoint_id, endpoint_id),
        (WebhookDelivery.state, state),
    ):
        if value is not None:
            found = found.where(column == value)
    if before is not None:
        found = found.where(WebhookDelivery.id < before)
    return session.scalars(found.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def requeue(session: Session, row: WebhookDelivery, url: str) -> WebhookDelivery:
    """Makes a delivery due at once, whatever its state; an attempt in progress is not disturbed.

    The count of attempts continues: once the schedule is used up, every call of this is one more attempt.
    """
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == row.id)
        .values(
            state=DeliveryState.PENDING,
            url=url,
            next_attempt_at=func.clock_timestamp(),
            completed_at=None,
        )
    )
    session.refresh(row)
    return row
