"""Accepting a job: its row, those of its sources, the bytes it uses and its tenant's share, all in one statement.

Every POST runs it. As five statements it took a third of what the API computes for a small image.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.cache.results import NEWEST_CACHED_JOB_ID, part_parameters
from app.db import blob_repository
from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, JobStatus, Stage, Tenant
from app.db.types import ExternalScores, ImageRecord, MethodOptions, image_documents
from app.errors import InvalidRequest
from app.jobs import admission
from app.jobs.repository import JSON_COLUMNS
from app.webhooks import deliveries
from attribution.ports import Origin, SourceState


@dataclass(frozen=True, slots=True)
class NewSource:
    """What a source is when the job is accepted; later changes of the catalog do not reach the job."""

    source: str
    family: str
    platform: str
    model: str
    revision: str
    queue: str
    timeout: timedelta
    state: SourceState = SourceState.PENDING
    reason: str | None = None
    warning: str | None = None
    external: bool = False  # whether prompts would be sent to third parties
    origin: Origin = Origin.GENERATOR
    generated_images: tuple[ImageRecord, ...] = ()  # of one that is done as it comes


@dataclass(frozen=True, slots=True)
class NewJob:
    """An image that passed intake, or is yet to be fetched, and the options of its job."""

    tenant_id: uuid.UUID
    image: dict[str, Any] | None
    images_per_source: int
    sources: Sequence[NewSource]
    deadline: timedelta
    method_options: MethodOptions
    prompt: str | None = None
    seed: int | None = None
    image_url: str | None = None
    external_id: str | None = None
    labels: dict[str, Any] | None = None
    cancel_after: timedelta | None = None
    # Of the request; where it is null, the tenant's applies, or else the installation's.
    budget_usd: Decimal | None = None
    default_budget_usd: Decimal | None = None
    max_budget_usd: Decimal | None = None
    local_only: bool = False
    default_local_only: bool = False
    webhook_url: str | None = None
    webhook_events: Sequence[str] | None = None
    cache: bool = True
    contributes: bool = True  # to the bank, if its tenant's jobs do
    external_scores: ExternalScores | None = None
    result_key: str | None = None
    result_ttl: timedelta | None = None  # an answer that is younger may be used
    stage: Stage = Stage.SCREENING
    id: uuid.UUID | None = None  # Postgres makes one, ordered by time


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """The job and its sources as a caller would be shown them, and the bytes to be put again after the commit."""

    job: Job
    sources: Sequence[JobSource]
    lost: Sequence[StoredBlob]
    share: admission.TenantShare  # of the tenant, this job not counted


def accept(
    session: Session, new: NewJob, uses: Mapping[str, StoredBlob] | None = None, concurrent_jobs: int = 10**9
) -> AcceptedJob:
    """Inserts the job; `uses` are its blobs by role. The commit waits for the disk.

    `concurrent_jobs` is the limit of a tenant that has none of its own. Raises InvalidRequest for a budget
    that is more than the tenant may ask for: nothing may then be committed.
    """
    used = blob_repository.sorted_by_hash(uses or {})
    given = {
        field: json.dumps(value) if field in JSON_COLUMNS and value is not None else value
        for field, value in ((name, getattr(new, name)) for name in _GIVEN)
    }
    rows = [
        {name: getattr(source, name) for name in _OF_A_SOURCE}
        | {
            "position": position,
            "timeout": source.timeout.total_seconds(),
            "generated_images": image_documents(source.generated_images),
        }
        for position, source in enumerate(new.sources)
    ]
    given |= {
        "rows": json.dumps(rows),
        "records": blob_repository.reference_records(used),
        "concurrent_jobs": concurrent_jobs,
    }
    given |= {"method_options": json.dumps(new.method_options.document())} | part_parameters(new.method_options)
    given["external_scores"] = None if new.external_scores is None else json.dumps(new.external_scores.document())
    given["local_only_reason"] = _LOCAL_ONLY
    given["contributes"] = new.contributes or None
    made = session.execute(ACCEPT, given).one_or_none()
    if made is None:
        raise _too_much(session, new)
    job = Job(
        **{column: getattr(new, column) for column in _AS_GIVEN},
        id=made.id,
        status=JobStatus.QUEUED,
        created_at=made.created_at,
        deadline_at=made.deadline_at,
        local_only=made.local_only,
        budget_usd=made.budget_usd,
        cached_from=made.cached_from,
        spent_usd=Decimal(0),
        calls=0,
        timings={},
    )
    return AcceptedJob(
        job=job,
        sources=[_row(job, position, source) for position, source in enumerate(new.sources)],
        lost=blob_repository.deleted_meanwhile(used, made.gone),
        share=admission.TenantShare(made.allowed, made.open_jobs),
    )


_GIVEN = tuple(each.name for each in fields(NewJob) if each.name != "sources")
_OF_A_SOURCE = tuple(each.name for each in fields(NewSource))
# Rows are made of what was inserted: reading ten of them back cost more than inserting them.
_AS_GIVEN = (
    *(
        "tenant_id",
        "stage",
        "images_per_source",
        "prompt",
        "seed",
        "method_options",
        "image_url",
        "image",
        "external_id",
        "labels",
    ),
    *("cache", "result_key", "external_scores"),
)
_SHOWN = ("source", "family", "platform", "model", "revision", "queue", "state", "reason", "warning", "origin")
_LOCAL_ONLY = "The job is local only, and this source would have been sent its caption."


def _too_much(session: Session, new: NewJob) -> InvalidRequest:
    own = session.scalar(select(Tenant.max_budget_usd).where(Tenant.id == new.tenant_id))
    most = new.max_budget_usd if own is None else own
    detail = f"must not be more than {most:f}, which is the most that one job may spend"
    return InvalidRequest(
        f"A job may spend {most:f} US dollars at most; ask for less.",
        errors=[{"detail": detail, "pointer": "#/budget_usd"}],
    )


def _row(job: Job, position: int, source: NewSource) -> JobSource:
    if job.local_only and source.external and source.state is SourceState.PENDING:
        source = replace(source, state=SourceState.SKIPPED, reason=_LOCAL_ONLY)
    return JobSource(
        job_id=job.id,
        tenant_id=job.tenant_id,
        position=position,
        timeout_seconds=source.timeout.total_seconds(),
        generated_images=list(source.generated_images),
        completed_at=job.created_at if source.state is SourceState.DONE else None,
        **{name: getattr(source, name) for name in _SHOWN},
    )


# psycopg keeps how it rewrote a statement of up to 4,096 characters, and rewrites a longer one each time; a test
# compares.
ACCEPT = text(
    " ".join(
        f"""
    WITH durable AS (
        SELECT set_config('synchronous_commit', 'on', true)
    ), job AS (
        INSERT INTO jobs (id, tenant_id, stage, images_per_source, prompt, seed, method_options, image_url, image,
                          external_id, metadata, webhook_url, webhook_events, notify, deadline_at, cancel_at,
                          local_only, budget_usd, cache, result_key, cached_from, external_scores, contributes)
        SELECT coalesce(CAST(:id AS uuid), uuidv7()), t.id, :stage, :images_per_source, :prompt, :seed,
               CAST(:method_options AS jsonb), :image_url, CAST(:image AS jsonb), :external_id, CAST(:labels AS jsonb),
               :webhook_url, CAST(:webhook_events AS jsonb),
               CAST(:webhook_url AS text) IS NOT NULL OR {deliveries.HAS_ENDPOINT},
               now() + :deadline, now() + CAST(:cancel_after AS interval),
               :local_only OR coalesce(t.local_only, :default_local_only),
               coalesce(r.budget, least(coalesce(t.budget_usd, :default_budget_usd), r.most)),
               :cache, :result_key, {NEWEST_CACHED_JOB_ID}, CAST(:external_scores AS jsonb), :contributes
        FROM tenants t, LATERAL (
            SELECT CAST(:budget_usd AS numeric) AS budget,
                   coalesce(t.max_budget_usd, CAST(:max_budget_usd AS numeric)) AS most
        ) r
        WHERE t.id = :tenant_id AND (r.budget <= r.most) IS NOT FALSE
        RETURNING id, tenant_id, created_at, deadline_at, local_only, budget_usd, cached_from
    ), sources AS (
        INSERT INTO job_sources (job_id, tenant_id, position, source, family, platform, model, revision, queue,
                                 timeout_seconds, warning, origin, generated_images, completed_at, state, reason)
        SELECT job.id, job.tenant_id, position, source, family, platform, model, revision, queue, timeout, warning,
               origin, generated_images, CASE WHEN state = 'done' THEN now() END,
               CASE WHEN kept THEN 'skipped' ELSE state END,
               CASE WHEN kept THEN :local_only_reason ELSE reason END
        FROM job, jsonb_to_recordset(CAST(:rows AS jsonb)) new (
            position smallint, source text, family text, platform text, model text, revision text, queue text,
            timeout float, state text, reason text, warning text, external boolean,
            origin text, generated_images jsonb),
            LATERAL (SELECT job.local_only AND external AND state = 'pending' AS kept)
    ), {blob_repository.references_cte("job")}
    SELECT job.*, share.*, {blob_repository.GONE} AS gone
    FROM job, durable, ({admission.TENANT_SHARE}) share
    """.split()  # noqa: S608 - our own words
    )
)
