"""The tables of webhooks: endpoints, deliveries, attempts."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import DELETED_WITH_JOB, Base


class WebhookEndpoint(Base):
    """Where events of a tenant's jobs are sent, and the secrets that sign them."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    url: Mapped[str]
    description: Mapped[str | None]
    events: Mapped[list[Any]]
    # [{"secret": "whsec_…", "expires_at": null | time}], newest first: during a rotation two of them sign.
    secrets: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]  # the first attempt that failed since the last success


_PENDING = text("state = 'pending'")


class WebhookDelivery(Base):
    """One event for one receiver, until it is delivered or given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed', 'dropped')", name="state"),
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=_PENDING),
        Index("ix_webhook_deliveries_waiting", "tenant_id", "next_attempt_at", postgresql_where=_PENDING),
        Index(None, "job_id"),
        Index(None, "tenant_id", "id"),
        Index(None, "endpoint_id", "id"),
        DELETED_WITH_JOB,
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))  # null: a ping
    endpoint_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    url: Mapped[str]
    type: Mapped[str]
    sequence: Mapped[int]  # of this job for this receiver, from 1, without gaps
    payload: Mapped[str]  # the very bytes that are signed
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]


class WebhookAttempt(Base):
    """One attempt at a delivery, and the response."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    started_at: Mapped[datetime]
    seconds: Mapped[float]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    response: Mapped[str | None]  # the first kilobyte
