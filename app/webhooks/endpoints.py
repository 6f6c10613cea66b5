"""Endpoints and secrets: where events of a tenant's jobs are sent and may be sent, and what signs them."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, func, insert, select, update
from sqlalchemy.orm import Session

from app.db.models import Tenant, WebhookDelivery, WebhookEndpoint
from app.settings import EgressSettings, Settings
from app.webhooks.events import EventType
from app.webhooks.schedule import DeliveryState
from app.webhooks.signing import new_secret

GONE_REASON = "The endpoint answered 410 Gone."
FAILING_REASON = "All attempts have failed for {days:.0f} days."


def lock_and_count(session: Session, tenant_id: uuid.UUID) -> int:
    """How many endpoints a tenant has, disabled ones too. Other transactions wait here until this one ends."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))
    return session.scalars(select(func.count()).where(WebhookEndpoint.tenant_id == tenant_id)).one()


def insert_endpoint(
    session: Session, tenant_id: uuid.UUID, url: str, events: Sequence[EventType], description: str | None
) -> WebhookEndpoint:
    """An endpoint with a secret of its own."""
    return session.scalars(
        insert(WebhookEndpoint)
        .values(
            tenant_id=tenant_id,
            url=url,
            events=list(events),
            description=description,
            secrets=[{"secret": new_secret(), "expires_at": None}],
        )
        .returning(WebhookEndpoint)
    ).one()


def get_by_id_for_update(session: Session, tenant_id: uuid.UUID, endpoint_id: uuid.UUID) -> WebhookEndpoint | None:
    """The endpoint, if it is this tenant's; with its row lock, so that two changes come one after the other."""
    return session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.tenant_id == tenant_id)
        .with_for_update()
    ).one_or_none()


def list_for_tenant(session: Session, tenant_id: uuid.UUID) -> Sequence[WebhookEndpoint]:
    """The tenant's endpoints, oldest first."""
    return session.scalars(
        select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id).order_by(WebhookEndpoint.id)
    ).all()


def update_url(session: Session, endpoint: WebhookEndpoint, url: str) -> None:
    """Changes its address; pending deliveries go to the new one."""
    endpoint.url = url
    session.execute(update(WebhookDelivery).where(_pending(endpoint.id)).values(url=url))


def disable(session: Session, endpoint_id: uuid.UUID, reason: str) -> WebhookEndpoint | None:
    """Disables an endpoint and drops its pending deliveries; None where it was disabled or deleted already."""
    disabled = session.scalars(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.disabled_at.is_(None))
        .values(disabled_at=func.clock_timestamp(), disabled_reason=reason)
        .returning(WebhookEndpoint)
    ).one_or_none()
    session.execute(
        update(WebhookDelivery)
        .where(_pending(endpoint_id))
        .values(state=DeliveryState.DROPPED, lease_until=None, completed_at=func.clock_timestamp())
    )
    return disabled


def enable(endpoint: WebhookEndpoint) -> None:
    """Enables an endpoint; its failures of before do not count any more."""
    endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None


def rotate_secret(endpoint: WebhookEndpoint, now: datetime, overlap: timedelta) -> str:
    """Gives the endpoint a new secret and returns it; the former one signs, too, during the overlap."""
    secret = new_secret()
    before = endpoint.secrets[0] | {"expires_at": (now + overlap).isoformat()}
    endpoint.secrets = [{"secret": secret, "expires_at": None}, before]
    return secret


def signing_secrets(stored: Sequence[dict[str, Any]], now: datetime) -> tuple[str, ...]:
    """Of an endpoint's stored secrets those that sign now, newest first."""
    return tuple(
        each["secret"]
        for each in stored
        if each["expires_at"] is None or datetime.fromisoformat(each["expires_at"]) > now
    )


def get_or_create_default_secret(session: Session, tenant_id: uuid.UUID) -> str:
    """The secret that signs what goes to the `webhook_url` of the tenant's jobs; made at its first use."""
    found = session.scalar(select(Tenant.webhook_secret).where(Tenant.id == tenant_id))
    if found is not None:
        return found
    # Of two transactions that make it, both get what the first of them wrote.
    written = func.coalesce(Tenant.webhook_secret, new_secret(), type_=Text)
    made: str = session.scalars(
        update(Tenant).where(Tenant.id == tenant_id).values(webhook_secret=written).returning(written)
    ).one()
    return made


def _pending(endpoint_id: uuid.UUID) -> Any:
    return (WebhookDelivery.endpoint_id == endpoint_id) & (WebhookDelivery.state == DeliveryState.PENDING)


def receiver_rules(settings: Settings) -> EgressSettings:
    """The outbound settings for webhooks: stricter than for images, which may be fetched without encryption."""
    https_only = settings.egress.https_only or not settings.webhooks.allow_http
    return settings.egress.model_copy(update={"https_only": https_only})
