"""SQL of deliveries: an event becomes one row per receiver in the transaction of its cause, and rows are sent later.

Events of a job are inserted under its row lock, so that they are counted without gaps. Claims follow the
rule of every step here: a lease, and a record that is fenced by the claim's attempt.
"""

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select, text, update
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource, JobStatus, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.shares import may_take
from app.webhooks import events
from app.webhooks.endpoints import get_or_create_default_secret, signing_secrets
from app.webhooks.events import EndpointDisabledData, EventType, JobData, PingData, WebhookEvent
from app.webhooks.schedule import Decision, DeliveryState

# A tenant's oldest rows that are due: so many are looked at for some whose receiver is not at its limit.
_LOOK_AHEAD = 2_000
# Whether a tenant has an enabled endpoint, as SQL.
HAS_ENDPOINT = "EXISTS (SELECT FROM webhook_endpoints WHERE tenant_id = :tenant_id AND disabled_at IS NULL)"


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
    return _insert_without_job(session, endpoint, events.ping(endpoint.id, now))


def insert_disabled(session: Session, disabled: WebhookEndpoint) -> bool:
    """Inserts the event of an endpoint that was disabled, for the tenant's others; whether there were any."""
    others = session.scalars(
        select(WebhookEndpoint).where(
            WebhookEndpoint.tenant_id == disabled.tenant_id, WebhookEndpoint.disabled_at.is_(None)
        )
    ).all()
    for endpoint in others:
        _insert_without_job(session, endpoint, events.endpoint_disabled(disabled))
    return bool(others)


def _insert_without_job(
    session: Session, endpoint: WebhookEndpoint, event: WebhookEvent[PingData] | WebhookEvent[EndpointDisabledData]
) -> WebhookDelivery:
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
class DeliveryTarget:
    """What a sender's attempts are counted by: the tenant, and the host and port."""

    tenant_id: uuid.UUID
    host: str


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """A delivery to be attempted now: where, what, and which secrets sign it."""

    id: uuid.UUID
    endpoint_id: uuid.UUID | None
    url: str
    target: DeliveryTarget
    payload: str
    attempt: int
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What one process may have under way: attempts at once, and of these for one tenant to one host.

    `under_way` counts its attempts; `paused` are addresses that nothing is sent to for now.
    """

    attempts: int
    per_host: int
    under_way: Mapping[DeliveryTarget, int]
    paused: Collection[str]


def _due(now: datetime) -> ColumnElement[bool]:
    return and_(
        WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.next_attempt_at <= now,
        or_(WebhookDelivery.lease_until.is_(None), WebhookDelivery.lease_until < now),
    )


def exists_due(session: Session, now: datetime) -> bool:
    """Whether anything waits to be sent."""
    return session.scalar(select(WebhookDelivery.id).where(_due(now)).limit(1)) is not None


def claim_due(session: Session, now: datetime, lease: timedelta, room: Room) -> list[DeliveryClaim]:
    """Takes deliveries that are due, each tenant's oldest first, as many as there is room for.

    The tenants take turns, and a tenant may have as many attempts under way as stay free (`app.shares`).
    """
    full = [target for target, count in room.under_way.items() if count >= room.per_host]
    given = {
        "now": now,
        "full": [f"{target.tenant_id} {target.host}" for target in full],
        "paused": list(room.paused),
        "most": room.attempts - sum(room.under_way.values()),
    }
    chosen = _choose(session.execute(_WAITING, given).all(), room)
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


# The host and port of an address, which is in its normal form.
_HOST = "substring(d.url, '//([^/?#]*)')"
# Tenants with pending rows, each found by one step along the index; of each the oldest that are due.
_WAITING = text(
    f"""
    WITH RECURSIVE waiting (tenant_id) AS (
        (SELECT tenant_id FROM webhook_deliveries WHERE state = 'pending' ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (
            SELECT d.tenant_id FROM webhook_deliveries d
            WHERE d.state = 'pending' AND d.tenant_id > waiting.tenant_id ORDER BY d.tenant_id LIMIT 1
        ) FROM waiting WHERE waiting.tenant_id IS NOT NULL
    )
    SELECT waiting.tenant_id, due.id, due.host FROM waiting CROSS JOIN LATERAL (
        SELECT d.id, d.next_attempt_at, {_HOST} AS host FROM webhook_deliveries d
        WHERE d.id IN (
            SELECT id FROM webhook_deliveries
            WHERE state = 'pending' AND tenant_id = waiting.tenant_id AND next_attempt_at <= :now
            ORDER BY next_attempt_at LIMIT {_LOOK_AHEAD}
        ) AND (d.lease_until IS NULL OR d.lease_until < :now) AND d.url <> ALL(:paused)
          AND d.tenant_id || ' ' || {_HOST} <> ALL(:full)
        ORDER BY d.next_attempt_at LIMIT :most FOR UPDATE OF d SKIP LOCKED
    ) AS due
    ORDER BY due.next_attempt_at
    """  # noqa: S608 - our own words
)


def _choose(waiting: Sequence[Any], room: Room) -> dict[uuid.UUID, DeliveryTarget]:
    """Of the rows, each tenant's in their order, those that are taken now."""
    to_target = Counter(room.under_way)
    of_tenant: Counter[uuid.UUID] = Counter()
    for target, count in room.under_way.items():
        of_tenant[target.tenant_id] += count
    # A row's turn is the number of attempts that its tenant would have under way before it.
    turns, counted = [], Counter(of_tenant)
    for row in waiting:
        turns.append((counted[row.tenant_id], row))
        counted[row.tenant_id] += 1
    chosen: dict[uuid.UUID, DeliveryTarget] = {}
    for _, row in sorted(turns, key=lambda turn: turn[0]):
        target = DeliveryTarget(row.tenant_id, row.host)
        if to_target[target] < room.per_host and may_take(room.attempts, of_tenant.total(), of_tenant[row.tenant_id]):
            to_target[target] += 1
            of_tenant[row.tenant_id] += 1
            chosen[row.id] = target
    return chosen


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


@dataclass(frozen=True, slots=True)
class Recorded:
    """Whether the attempt was recorded: False when the claim was fenced off meanwhile.

    `failing_since` is when the endpoint's first attempt failed of those since its last success, this one not counted.
    """

    recorded: bool
    failing_since: datetime | None


def record_attempt(session: Session, claimed: DeliveryClaim, attempt: Attempt, decision: Decision) -> Recorded:
    """Records an attempt and the decision that follows, in one statement."""
    given = asdict(attempt) | {
        "id": claimed.id,
        "endpoint_id": claimed.endpoint_id,
        "number": claimed.attempt,
        "state": decision.state,
        "next_attempt_at": decision.next_attempt_at,
    }
    found = session.execute(_RECORD, given).one_or_none()
    return Recorded(False, None) if found is None else Recorded(True, found.failing_since)


# The endpoint's row is written when it begins to fail and when it stops, not each time.
_RECORD = text(
    """
    WITH stood AS (
        UPDATE webhook_deliveries SET
            state = :state, lease_until = NULL,
            next_attempt_at = coalesce(CAST(:next_attempt_at AS timestamptz), next_attempt_at),
            completed_at = CASE WHEN :state <> 'pending' THEN clock_timestamp() END
        WHERE id = :id AND attempts = :number AND state = 'pending'
        RETURNING id
    ), endpoint AS (
        UPDATE webhook_endpoints SET failing_since = CASE WHEN :state <> 'delivered' THEN :started_at END
        WHERE id = :endpoint_id AND (failing_since IS NULL) = (:state <> 'delivered') AND EXISTS (SELECT FROM stood)
    ), recorded AS (
        INSERT INTO webhook_attempts (delivery_id, number, started_at, seconds, status, error, response)
        SELECT id, :number, :started_at, :seconds, :status, :error, :response FROM stood
        RETURNING delivery_id
    )
    SELECT (SELECT failing_since FROM webhook_endpoints WHERE id = :endpoint_id) AS failing_since FROM recorded
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
