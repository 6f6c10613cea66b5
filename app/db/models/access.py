"""The tables of access: tenants, their keys, requests that must not be done twice, and the audit log."""

import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import USD, Base, Clearing, personal

DEFAULT_TENANT = uuid.UUID("00000000-0000-7000-8000-000000000001")


class Tenant(Base):
    """The owner of jobs, images and keys. A limit or a retention that is null is the installation's default."""

    __tablename__ = "tenants"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    disabled_at: Mapped[datetime | None]
    requests_per_minute: Mapped[int | None]
    concurrent_jobs: Mapped[int | None]
    jobs_per_day: Mapped[int | None]
    bytes_per_day: Mapped[int | None] = mapped_column(BigInteger)
    retain_images: Mapped[timedelta | None]
    retain_captions: Mapped[timedelta | None]
    retain_results: Mapped[timedelta | None]
    # The default and the maximum of a job's budget, and whether nothing may be sent to third parties.
    budget_usd: Mapped[Decimal | None] = mapped_column(USD)
    max_budget_usd: Mapped[Decimal | None] = mapped_column(USD)
    local_only: Mapped[bool | None]
    contribute: Mapped[bool | None]  # whether its jobs contribute to the bank
    webhook_secret: Mapped[str | None]  # whsec_…, signs what goes to a job's own webhook_url


class TenantVolume(Base):
    """What a tenant submitted on a day (UTC): jobs, and bytes of request bodies and of files that were fetched."""

    __tablename__ = "tenant_volumes"

    day: Mapped[date] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """A key: its hash, what it may do, and for how long."""

    __tablename__ = "api_keys"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]  # by which people recognize a key
    sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[list[Any]]
    requests_per_minute: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """A request that must not be done twice, and its response. Without a status it is in progress."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "expires_at"), Index(None, "job_id"))

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    owner: Mapped[uuid.UUID]  # the request in progress
    lease_until: Mapped[datetime]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None] = personal(Clearing.CAPTIONS, Clearing.SCREENING)  # repeats the caption
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]


class AuditEntry(Base):
    """Who did what to which object; never its content."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "subject"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tenants.id"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]  # key:<id>, command-line, or the part of the service
    action: Mapped[str]  # job.read, job.deleted, key.created, …
    subject: Mapped[str]  # the id of what it was done to
    request_id: Mapped[str | None]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
