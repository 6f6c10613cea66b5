"""The tables. Everything true about a job is here; every row belongs to a tenant."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    SmallInteger,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from attribution.ports import SourceState

DEFAULT_TENANT = uuid.UUID("00000000-0000-7000-8000-000000000001")
RESULT_SCHEMA_VERSION = 1


class JobStatus(StrEnum):
    """Where a job stands; the last three are ends."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Stage(StrEnum):
    """The step a job that has not ended waits for or is in."""

    SCREENING = "screening"
    CAPTIONING = "captioning"
    RESYNTHESISING = "resynthesising"
    EMBEDDING = "embedding"
    RANKING = "ranking"


ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)
OPEN_JOB = text("status IN ('queued', 'processing')")


def _one_of(column: str, values: type[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class Base(DeclarativeBase):
    """Named constraints, so that a migration can name what it drops."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this class attribute
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid(),
        str: Text(),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


class Tenant(Base):
    """Whom jobs, images and keys belong to."""

    __tablename__ = "tenants"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Step:
    """The columns by which a step is claimed, fenced off and handed on again; a job and each of its sources is one.

    A claim counts `attempt` and sets `lease_until`; its worker renews the lease while it lives. What nobody holds
    and was not enqueued lately (`handed_on_at`) is enqueued again by the sweep, less often each time (`hand_ons`).
    """

    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    handed_on_at: Mapped[datetime] = mapped_column(server_default=func.now())
    hand_ons: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))


class Job(Step, Base):
    """One query image on its way to an answer."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_one_of("status", JobStatus), name="status"),
        CheckConstraint(_one_of("stage", Stage), name="stage"),
        CheckConstraint("candidates BETWEEN 1 AND 16", name="candidates"),
        Index("ix_jobs_listing", "tenant_id", text("created_at DESC"), text("id DESC")),
        Index("ix_jobs_sweep", "handed_on_at", postgresql_where=OPEN_JOB),
        Index("ix_jobs_deadline", "deadline_at", postgresql_where=OPEN_JOB),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED)
    stage: Mapped[str | None] = mapped_column(server_default=Stage.SCREENING)
    stage_since: Mapped[datetime] = mapped_column(server_default=func.now())
    # What was asked.
    candidates: Mapped[int] = mapped_column(SmallInteger)
    prompt: Mapped[str | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    image: Mapped[dict[str, Any]]
    query_blob: Mapped[str]
    # What came of it.
    caption: Mapped[str | None]
    captioner: Mapped[str | None]
    features_blob: Mapped[str | None]
    embedder: Mapped[str | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    timings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    schema_version: Mapped[int] = mapped_column(SmallInteger, server_default=text(str(RESULT_SCHEMA_VERSION)))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime]


class JobSource(Step, Base):
    """One source in one job: what it was asked as of acceptance, and what became of it."""

    __tablename__ = "job_sources"
    __table_args__ = (
        CheckConstraint(_one_of("state", SourceState), name="state"),
        Index("ix_job_sources_drain", "source", "handed_on_at", postgresql_where=text("state = 'pending'")),
        Index("ix_job_sources_running", "timeout_at", postgresql_where=text("state = 'running'")),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    position: Mapped[int] = mapped_column(SmallInteger)
    family: Mapped[str]
    platform: Mapped[str]
    model: Mapped[str]
    revision: Mapped[str]
    queue: Mapped[str]
    timeout_seconds: Mapped[float]
    state: Mapped[str] = mapped_column(server_default=SourceState.PENDING)
    reason: Mapped[str | None]
    timeout_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    # [{"seed": int | null, "blob": sha256}], in the order of k.
    drawings: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))


class Blob(Base):
    """A tenant's stored bytes, once however many jobs use them."""

    __tablename__ = "blobs"

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BlobReference(Base):
    """One use of a blob by one job; a blob without references may go."""

    __tablename__ = "blob_references"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "sha256"], ["blobs.tenant_id", "blobs.sha256"]),
        Index(None, "tenant_id", "sha256"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    sha256: Mapped[str]
