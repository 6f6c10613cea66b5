"""The tables of the job itself: a job, its sources, its bytes, feedback, and the pipelines of results.

Everything true about an attribution is here.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    TextClause,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import DELETED_WITH_JOB, USD, Base, Clearing, one_of, personal
from app.db.types import DocumentType, ExternalScores, ImageRecord, ImageRecordsType, MethodOptions, RaceRecord
from attribution.ports import Origin, SourceState

RESULT_SCHEMA_VERSION = 1


class JobStatus(StrEnum):
    """Where a job stands; the last three are ends."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Stage(StrEnum):
    """The step that a job which has not ended waits for or is in."""

    FETCHING = "fetching"
    SCREENING = "screening"
    CAPTIONING = "captioning"
    RESYNTHESIZING = "resynthesizing"
    EMBEDDING = "embedding"
    RANKING = "ranking"


ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELED)
OPEN_JOB = text("status IN ('queued', 'processing')")
NEWEST_FIRST = (text("created_at DESC"), text("id DESC"))
WAITING = text("state = 'pending' AND next_attempt_at IS NOT NULL")
CONTRIBUTING = text("contributes AND status = 'succeeded' AND deleted_at IS NULL")
_ENDED_AND_KEPT = text("status IN ('succeeded', 'failed', 'canceled') AND deleted_at IS NULL")


def _ended_and(condition: str) -> TextClause:
    return text("completed_at IS NOT NULL AND " + condition)


class ClaimableStep:
    """The columns by which a step is claimed, fenced off and requeued; a job and each of its sources is one.

    A claim counts `attempt` and sets `lease_until`; its worker renews the lease while it lives. A step without a
    lease that was not enqueued lately (`requeued_at`) is requeued by the sweep, less often each time (`requeues`).
    """

    attempt: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    lease_until: Mapped[datetime | None]
    requeued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    requeues: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))


class Job(ClaimableStep, Base):
    """One query image on its way to a result."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(one_of("status", JobStatus), name="status"),
        CheckConstraint(one_of("stage", Stage), name="stage"),
        CheckConstraint("images_per_source BETWEEN 1 AND 16", name="images_per_source"),
        Index("ix_jobs_listing", "tenant_id", *NEWEST_FIRST, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_jobs_open", "tenant_id", *NEWEST_FIRST, postgresql_where=OPEN_JOB),
        Index("ix_jobs_ended", "tenant_id", "status", *NEWEST_FIRST, postgresql_where=_ENDED_AND_KEPT),
        Index(
            "ix_jobs_external_id",
            *("tenant_id", "external_id"),
            *NEWEST_FIRST,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        Index("ix_jobs_cancel", "cancel_at", postgresql_where=text("cancel_at IS NOT NULL AND " + OPEN_JOB.text)),
        Index("ix_jobs_images", "tenant_id", "completed_at", postgresql_where=_ended_and("images_deleted_at IS NULL")),
        Index(
            "ix_jobs_captions", "tenant_id", "completed_at", postgresql_where=_ended_and("captions_deleted_at IS NULL")
        ),
        Index("ix_jobs_results", "tenant_id", "completed_at", postgresql_where=_ended_and("deleted_at IS NULL")),
        Index("ix_jobs_tombstones", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index(
            "ix_jobs_results_cached",
            *("tenant_id", "result_key", text("completed_at DESC")),
            postgresql_where=text("result_key IS NOT NULL AND pipeline_fingerprint IS NOT NULL"),
        ),
        Index("ix_jobs_sweep", "requeued_at", postgresql_where=OPEN_JOB),
        Index("ix_jobs_deadline", "deadline_at", postgresql_where=OPEN_JOB),
        Index("ix_jobs_contributing", "completed_at", postgresql_where=CONTRIBUTING),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED)
    stage: Mapped[str | None] = mapped_column(server_default=Stage.SCREENING)
    stage_entered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # The request. An image that comes by URL is null until it is fetched.
    images_per_source: Mapped[int] = mapped_column(SmallInteger)
    prompt: Mapped[str | None] = personal(Clearing.CAPTIONS, Clearing.SCREENING)
    seed: Mapped[int | None] = personal(kind=BigInteger)
    # Null only in a deleted job.
    method_options: Mapped[MethodOptions] = personal(kind=DocumentType(MethodOptions), nullable=True)
    external_scores: Mapped[ExternalScores | None] = personal(Clearing.SCREENING, kind=DocumentType(ExternalScores))
    image_url: Mapped[str | None] = personal(Clearing.IMAGES, Clearing.SCREENING)
    image: Mapped[dict[str, Any] | None] = personal()
    query_blob: Mapped[str | None] = personal(Clearing.IMAGES, Clearing.SCREENING)
    external_id: Mapped[str | None] = personal()
    # The caller's own, echoed. "metadata" belongs to SQLAlchemy.
    labels: Mapped[dict[str, Any] | None] = personal(name="metadata")
    cancel_at: Mapped[datetime | None]
    # Whether nothing may be sent to third parties for it, and what its calls may cost; null: no bound.
    local_only: Mapped[bool] = mapped_column(server_default=text("false"))
    budget_usd: Mapped[Decimal | None] = mapped_column(USD)
    # What its calls are reserved at or were settled at, all together, and how many there were.
    spent_usd: Mapped[Decimal] = mapped_column(USD, server_default=text("0"))
    calls: Mapped[int] = mapped_column(server_default=text("0"))
    # Whether it has receivers: `webhook_url`, or an endpoint that the tenant had when the job was accepted.
    notify: Mapped[bool] = mapped_column(server_default=text("false"))
    webhook_url: Mapped[str | None] = personal()
    webhook_events: Mapped[list[Any] | None] = personal()
    # The result.
    evidence: Mapped[dict[str, Any] | None] = personal(Clearing.CAPTIONS, Clearing.SCREENING)
    caption: Mapped[str | None] = personal(Clearing.CAPTIONS, Clearing.SCREENING)
    captioner: Mapped[str | None] = personal(Clearing.SCREENING)
    # Null where every source generates γ images at once.
    race: Mapped[RaceRecord | None] = personal(kind=DocumentType(RaceRecord))
    features_blob: Mapped[str | None] = personal()
    embedder: Mapped[str | None] = personal()
    result: Mapped[dict[str, Any] | None] = personal(to={Clearing.CAPTIONS: "jsonb_set(result, '{caption}', 'null')"})
    error: Mapped[dict[str, Any] | None] = personal()
    timings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    schema_version: Mapped[int] = mapped_column(SmallInteger, server_default=text(str(RESULT_SCHEMA_VERSION)))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime]
    # The cache. `result_key` names file and options, `pipeline_fingerprint` the models and settings of the result;
    # both as long as it may be used again. `cached_from` is the job whose result this one may take, and has
    # taken once it succeeded.
    cache: Mapped[bool] = mapped_column(server_default=text("true"))
    result_key: Mapped[str | None] = personal(Clearing.IMAGES, Clearing.CAPTIONS, Clearing.SCREENING)
    pipeline_fingerprint: Mapped[str | None] = personal()
    screening_fingerprint: Mapped[str | None] = personal()
    result_computed_at: Mapped[datetime | None] = personal()  # where older than `completed_at`
    cached_from: Mapped[uuid.UUID | None] = personal()
    # Whether its generated images are still to be added to the bank, once it has succeeded; null where they may not be.
    contributes: Mapped[bool | None]
    # What was deleted of it. A tombstone keeps the id, the times and the costs, nothing of request and result.
    images_deleted_at: Mapped[datetime | None]
    captions_deleted_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


# Prompts of vendors were made of the caption.
_WITHOUT_PROMPTS = """(
    SELECT coalesce(jsonb_agg(generated_image - 'prompt' ORDER BY place), '[]')
    FROM jsonb_array_elements(generated_images) WITH ORDINALITY AS each (generated_image, place)
)"""


class JobSource(ClaimableStep, Base):
    """One source in one job: as it was in the catalog at acceptance, and how it ended."""

    __tablename__ = "job_sources"
    __table_args__ = (
        CheckConstraint(one_of("state", SourceState), name="state"),
        CheckConstraint(one_of("origin", Origin), name="origin"),
        Index("ix_job_sources_batch", "source", "tenant_id", "job_id", postgresql_where=text("state = 'pending'")),
        Index("ix_job_sources_running", "timeout_at", postgresql_where=text("state = 'running'")),
        Index("ix_job_sources_waiting", "source", "job_id", postgresql_where=WAITING),
        DELETED_WITH_JOB,
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
    origin: Mapped[str] = mapped_column(server_default=Origin.GENERATOR)
    state: Mapped[str] = mapped_column(server_default=SourceState.PENDING)
    reason: Mapped[str | None]
    warning: Mapped[str | None]  # as of acceptance: that the source is to be switched off
    timeout_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    # Set while it waits for a limit, for a vendor's Retry-After, or for its next attempt: not claimed before.
    next_attempt_at: Mapped[datetime | None]
    # In the order of k; what is here is not generated again.
    generated_images: Mapped[Sequence[ImageRecord]] = mapped_column(
        ImageRecordsType(),
        server_default=text("'[]'::jsonb"),
        info={"personal": {Clearing.CAPTIONS: _WITHOUT_PROMPTS}},
    )


class Blob(Base):
    """A tenant's stored bytes, once however many jobs use them."""

    __tablename__ = "blobs"
    __table_args__ = (
        Index("ix_blobs_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_blobs_due", "due_at", "deleted_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # When its use ended. The row stays for a while: a transaction that stored the bytes just before sees it.
    deleted_at: Mapped[datetime | None]
    # From then on until the bytes are deleted: when that is due. A process that is about to delete them sets it ahead.
    due_at: Mapped[datetime | None]


class BlobReference(Base):
    """One use of a blob by one job; a blob without references may be deleted."""

    __tablename__ = "blob_references"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "sha256"], ["blobs.tenant_id", "blobs.sha256"]),
        Index(None, "tenant_id", "sha256"),
        Index("ix_blob_references_cache", "cache_key", "tenant_id", postgresql_where=text("cache_key IS NOT NULL")),
        DELETED_WITH_JOB,
    )

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID]
    sha256: Mapped[str]
    # Of a generated image: its cache key, as long as it may be used again, and when it was generated.
    cache_key: Mapped[str | None] = personal(Clearing.CAPTIONS)
    generated_at: Mapped[datetime | None]


class Feedback(Base):
    """The true source of a job's image, as its caller found out. Kept for evaluation; nothing learns from it."""

    __tablename__ = "feedback"
    __table_args__ = DELETED_WITH_JOB

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    source: Mapped[str]  # an id of the catalog, or the caller's own name for what is not in it
    in_catalog: Mapped[bool]  # whether the catalog had it
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ActivePipeline(Base):
    """What the workers that started last have loaded. The cache gives no result of another pipeline."""

    __tablename__ = "active_pipelines"

    part: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    activated_at: Mapped[datetime] = mapped_column(server_default=func.now())
