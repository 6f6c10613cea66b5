"""All tables, and the default tenant."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = postgresql.JSONB(none_as_null=True)
_USD = sa.Numeric(precision=12, scale=6)
# Names of keys and unique constraints come from the naming convention of `app.db.models`.
_NEWEST_FIRST = (sa.literal_column("created_at DESC"), sa.literal_column("id DESC"))


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), primary_key=True)


def _tenant(nullable: bool = False) -> sa.Column[Any]:
    return sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=nullable)


def _moment(name: str, now: bool = False) -> sa.Column[Any]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def _index(name: str, table: str, columns: list[Any], where: str | None = None, **options: Any) -> None:
    op.create_index(name, table, columns, postgresql_where=None if where is None else sa.text(where), **options)


# How many steps of each queue wait for a worker, are being worked on, or wait for room at a vendor: for the gauges, and
# for what decides how many workers there are (deploy/autoscaler.sql). Rows with a stage are jobs, the others sources
# and webhook deliveries. It reads indexes of open rows only, and at most 5,000: above, counts are lower bounds.
_QUEUE_STEPS = """
    CREATE VIEW queue_steps AS
    WITH open AS (
        SELECT id, stage, stage_entered_at, lease_until IS NULL OR lease_until < now() AS unheld FROM jobs
        WHERE status IN ('queued', 'processing') ORDER BY requeued_at LIMIT 5000
    ), due AS (
        SELECT next_attempt_at, coalesce(lease_until >= now(), false) AS held FROM webhook_deliveries
        WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 5000
    )
    SELECT stage,
           CASE stage WHEN 'fetching' THEN 'fetch' WHEN 'screening' THEN 'screen' WHEN 'captioning' THEN 'caption'
                      WHEN 'embedding' THEN 'embed' WHEN 'ranking' THEN 'rank' END AS queue,
           count(*) FILTER (WHERE unheld) AS waiting, count(*) FILTER (WHERE NOT unheld) AS running, 0 AS delayed,
           extract(epoch FROM now() - min(stage_entered_at) FILTER (WHERE unheld))::float AS oldest_seconds
    FROM open GROUP BY stage
    UNION ALL
    SELECT NULL, s.queue, count(*) FILTER (WHERE s.state = 'pending' AND s.next_attempt_at IS NULL),
           count(*) FILTER (WHERE s.state = 'running'), count(*) FILTER (WHERE s.next_attempt_at IS NOT NULL),
           extract(epoch FROM now() - min(o.stage_entered_at)
                   FILTER (WHERE s.state = 'pending' AND s.next_attempt_at IS NULL))::float
    FROM open o JOIN job_sources s ON s.job_id = o.id
    WHERE o.stage = 'resynthesizing' AND s.state IN ('pending', 'running') GROUP BY s.queue
    UNION ALL
    SELECT NULL, 'notify', count(*) FILTER (WHERE NOT held), count(*) FILTER (WHERE held), 0,
           extract(epoch FROM now() - min(next_attempt_at))::float
    FROM due
"""


def upgrade() -> None:
    op.create_table(
        "active_pipelines",
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        _moment("activated_at", now=True),
        sa.PrimaryKeyConstraint("part"),
    )
    op.create_table(
        "bank_bases",
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space", name=op.f("pk_bank_bases")),
    )
    op.create_table(
        "bank_snapshots",
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("jobs", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("drift", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("compiled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("space", name=op.f("pk_bank_snapshots")),
    )
    op.create_table(
        "tenants",
        _id(),
        sa.Column("name", sa.Text(), nullable=False),
        _moment("created_at", now=True),
        _moment("disabled_at"),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("concurrent_jobs", sa.Integer(), nullable=True),
        sa.Column("jobs_per_day", sa.Integer(), nullable=True),
        sa.Column("bytes_per_day", sa.BigInteger(), nullable=True),
        sa.Column("retain_images", sa.Interval(), nullable=True),
        sa.Column("retain_captions", sa.Interval(), nullable=True),
        sa.Column("retain_results", sa.Interval(), nullable=True),
        sa.Column("budget_usd", _USD, nullable=True),
        sa.Column("max_budget_usd", _USD, nullable=True),
        sa.Column("local_only", sa.Boolean(), nullable=True),
        sa.Column("contribute", sa.Boolean(), nullable=True),
        sa.Column("webhook_secret", sa.Text(), nullable=True),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "tenant_volumes",
        sa.Column("day", sa.Date(), nullable=False),
        _tenant(),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "tenant_id"),
    )
    op.create_table(
        "api_keys",
        _id(),
        _tenant(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        _moment("created_at", now=True),
        _moment("expires_at"),
        _moment("revoked_at"),
        _moment("last_used_at"),
        sa.UniqueConstraint("sha256"),
    )
    _index("ix_api_keys_tenant_id", "api_keys", ["tenant_id"])
    op.create_table(
        "audit_log",
        _id(),
        _tenant(nullable=True),
        _moment("at", now=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("detail", _JSON, server_default=sa.text("'{}'::jsonb"), nullable=False),
    )
    _index("ix_audit_log_subject", "audit_log", ["subject"])
    _index("ix_audit_log_tenant_id_id", "audit_log", ["tenant_id", "id"])
    op.create_table(
        "bank_contributions",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("caption_hash", sa.Text(), nullable=True),
        sa.Column("sources", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("counts", sa.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=True),
        sa.Column("job_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "contributed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_bank_contributions_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_bank_contributions")),
    )
    op.create_index("ix_bank_contributions_caption", "bank_contributions", ["space", "caption_hash"], unique=True)
    op.create_index("ix_bank_contributions_window", "bank_contributions", ["space", "job_created_at"])
    op.create_index(op.f("ix_bank_contributions_tenant_id"), "bank_contributions", ["tenant_id"])
    op.create_table(
        "blobs",
        _tenant(),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        _moment("created_at", now=True),
        _moment("deleted_at"),
        _moment("due_at"),
        sa.PrimaryKeyConstraint("tenant_id", "sha256"),
    )
    _index("ix_blobs_deleted", "blobs", ["deleted_at"], where="deleted_at IS NOT NULL")
    _index("ix_blobs_due", "blobs", ["due_at", "deleted_at"], where="due_at IS NOT NULL")
    op.create_table(
        "hash_lists",
        _id(),
        _tenant(nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_distance", sa.SmallInteger(), nullable=False),
        _moment("created_at", now=True),
        _moment("updated_at", now=True),
    )
    _index(
        "ix_hash_lists_tenant_id_name",
        "hash_lists",
        ["tenant_id", "name"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "jobs",
        _id(),
        _tenant(),
        sa.Column("status", sa.Text(), server_default="queued", nullable=False),
        sa.Column("stage", sa.Text(), server_default="screening", nullable=True),
        _moment("stage_entered_at", now=True),
        sa.Column("images_per_source", sa.SmallInteger(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("method_options", _JSON, nullable=True),
        sa.Column("external_scores", _JSON, nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("image", _JSON, nullable=True),
        sa.Column("query_blob", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("metadata", _JSON, nullable=True),
        _moment("cancel_at"),
        sa.Column("local_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("budget_usd", _USD, nullable=True),
        sa.Column("spent_usd", _USD, server_default=sa.text("0"), nullable=False),
        sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("webhook_events", _JSON, nullable=True),
        sa.Column("evidence", _JSON, nullable=True),
        sa.Column("caption", sa.Text(), nullable=True),
        sa.Column("captioner", sa.Text(), nullable=True),
        sa.Column("race", _JSON, nullable=True),
        sa.Column("features_blob", sa.Text(), nullable=True),
        sa.Column("embedder", sa.Text(), nullable=True),
        sa.Column("result", _JSON, nullable=True),
        sa.Column("error", _JSON, nullable=True),
        sa.Column("timings", _JSON, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        _moment("created_at", now=True),
        _moment("started_at"),
        _moment("completed_at"),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cache", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("result_key", sa.Text(), nullable=True),
        sa.Column("pipeline_fingerprint", sa.Text(), nullable=True),
        sa.Column("screening_fingerprint", sa.Text(), nullable=True),
        _moment("result_computed_at"),
        sa.Column("cached_from", sa.Uuid(), nullable=True),
        sa.Column("contributes", sa.Boolean(), nullable=True),
        _moment("images_deleted_at"),
        _moment("captions_deleted_at"),
        _moment("deleted_at"),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        _moment("lease_until"),
        _moment("requeued_at", now=True),
        sa.Column("requeues", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "stage IN ('fetching', 'screening', 'captioning', 'resynthesizing', 'embedding', 'ranking')",
            name=op.f("ck_jobs_stage"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'succeeded', 'failed', 'canceled')", name=op.f("ck_jobs_status")
        ),
        sa.CheckConstraint("images_per_source BETWEEN 1 AND 16", name=op.f("ck_jobs_images_per_source")),
    )
    _index(
        "ix_jobs_cancel", "jobs", ["cancel_at"], where="cancel_at IS NOT NULL AND status IN ('queued', 'processing')"
    )
    _index(
        "ix_jobs_captions",
        "jobs",
        ["tenant_id", "completed_at"],
        where="completed_at IS NOT NULL AND captions_deleted_at IS NULL",
    )
    _index("ix_jobs_deadline", "jobs", ["deadline_at"], where="status IN ('queued', 'processing')")
    _index(
        "ix_jobs_ended",
        "jobs",
        ["tenant_id", "status", *_NEWEST_FIRST],
        where="status IN ('succeeded', 'failed', 'canceled') AND deleted_at IS NULL",
    )
    _index("ix_jobs_external_id", "jobs", ["tenant_id", "external_id", *_NEWEST_FIRST], where="external_id IS NOT NULL")
    _index(
        "ix_jobs_images",
        "jobs",
        ["tenant_id", "completed_at"],
        where="completed_at IS NOT NULL AND images_deleted_at IS NULL",
    )
    _index("ix_jobs_listing", "jobs", ["tenant_id", *_NEWEST_FIRST], where="deleted_at IS NULL")
    _index("ix_jobs_open", "jobs", ["tenant_id", *_NEWEST_FIRST], where="status IN ('queued', 'processing')")
    _index(
        "ix_jobs_results",
        "jobs",
        ["tenant_id", "completed_at"],
        where="completed_at IS NOT NULL AND deleted_at IS NULL",
    )
    _index(
        "ix_jobs_results_cached",
        "jobs",
        ["tenant_id", "result_key", sa.literal_column("completed_at DESC")],
        where="result_key IS NOT NULL AND pipeline_fingerprint IS NOT NULL",
    )
    _index(
        "ix_jobs_contributing",
        "jobs",
        ["completed_at"],
        where="contributes AND status = 'succeeded' AND deleted_at IS NULL",
    )
    _index("ix_jobs_tombstones", "jobs", ["deleted_at"], where="deleted_at IS NOT NULL")
    _index("ix_jobs_sweep", "jobs", ["requeued_at"], where="status IN ('queued', 'processing')")
    op.create_table(
        "text_rules",
        _id(),
        _tenant(nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        _moment("created_at", now=True),
    )
    _index(
        "ix_text_rules_tenant_id_name",
        "text_rules",
        ["tenant_id", "name"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "webhook_endpoints",
        _id(),
        _tenant(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", _JSON, nullable=False),
        sa.Column("secrets", _JSON, nullable=False),
        _moment("created_at", now=True),
        _moment("disabled_at"),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        _moment("failing_since"),
    )
    _index("ix_webhook_endpoints_tenant_id", "webhook_endpoints", ["tenant_id"])
    op.create_table(
        "blob_references",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("cache_key", sa.Text(), nullable=True),
        _moment("generated_at"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "sha256"], ["blobs.tenant_id", "blobs.sha256"]),
        sa.PrimaryKeyConstraint("job_id", "role"),
    )
    _index("ix_blob_references_cache", "blob_references", ["cache_key", "tenant_id"], where="cache_key IS NOT NULL")
    _index("ix_blob_references_tenant_id_sha256", "blob_references", ["tenant_id", "sha256"])
    op.create_table(
        "feedback",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        _tenant(),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("in_catalog", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        _moment("created_at", now=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "hash_list_entries",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("pdq", sa.LargeBinary(), nullable=False),
        sa.Column("tags", _JSON, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["hash_lists.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("list_id", "pdq"),
    )
    op.create_table(
        "idempotency_keys",
        _tenant(),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", _JSON, nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        _moment("created_at", now=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "key"),
    )
    _index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])
    _index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])
    op.create_table(
        "job_sources",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        _tenant(),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("timeout_seconds", sa.Double(), nullable=False),
        sa.Column("origin", sa.Text(), server_default="generator", nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("warning", sa.Text(), nullable=True),
        _moment("timeout_at"),
        _moment("started_at"),
        _moment("completed_at"),
        _moment("next_attempt_at"),
        sa.Column(
            "generated_images",
            _JSON,
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        _moment("lease_until"),
        _moment("requeued_at", now=True),
        sa.Column("requeues", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("origin IN ('generator', 'reference')", name=op.f("ck_job_sources_origin")),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'done', 'refused_prompt', 'refused_output', 'rate_limited', 'quota', "
            "'timeout', 'unavailable', 'retired', 'no_api', 'awaiting_reference', 'skipped', 'error')",
            name=op.f("ck_job_sources_state"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "source"),
    )
    _index("ix_job_sources_batch", "job_sources", ["source", "tenant_id", "job_id"], where="state = 'pending'")
    _index("ix_job_sources_running", "job_sources", ["timeout_at"], where="state = 'running'")
    _index(
        "ix_job_sources_waiting",
        "job_sources",
        ["source", "job_id"],
        where="state = 'pending' AND next_attempt_at IS NOT NULL",
    )
    op.create_table(
        "source_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        _tenant(),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("k", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("images", sa.SmallInteger(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("sent", sa.Text(), server_default=sa.text("'prompt'"), nullable=False),
        sa.Column("vendor_task", sa.Text(), nullable=True),
        sa.Column("reserved_usd", _USD, nullable=False),
        sa.Column("settled_usd", _USD, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        _moment("created_at", now=True),
        _moment("settled_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    _index("ix_source_calls_created_at", "source_calls", ["created_at"])
    _index("ix_source_calls_job_id_source", "source_calls", ["job_id", "source"])
    op.create_table(
        "webhook_deliveries",
        _id(),
        _tenant(),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        _moment("next_attempt_at", now=True),
        _moment("lease_until"),
        _moment("created_at", now=True),
        _moment("completed_at"),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed', 'dropped')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    )
    _index("ix_webhook_deliveries_due", "webhook_deliveries", ["next_attempt_at"], where="state = 'pending'")
    _index(
        "ix_webhook_deliveries_waiting",
        "webhook_deliveries",
        ["tenant_id", "next_attempt_at"],
        where="state = 'pending'",
    )
    _index("ix_webhook_deliveries_endpoint_id_id", "webhook_deliveries", ["endpoint_id", "id"])
    _index("ix_webhook_deliveries_job_id", "webhook_deliveries", ["job_id"])
    _index("ix_webhook_deliveries_tenant_id_id", "webhook_deliveries", ["tenant_id", "id"])
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["webhook_deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("delivery_id", "number"),
    )
    # The service's role can only add to the audit log (app/db/roles.py); this runs as the owner of the tables.
    op.execute(
        """
        CREATE FUNCTION delete_old_audit_entries(span interval, portion integer) RETURNS bigint
        LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
            WITH deleted AS (
                DELETE FROM audit_log WHERE id IN (
                    SELECT id FROM audit_log WHERE id < (SELECT uuidv7(-greatest(span, interval '30 days')))
                    ORDER BY id LIMIT portion
                ) RETURNING 1
            )
            SELECT count(*) FROM deleted
        $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION delete_old_audit_entries FROM PUBLIC")
    op.execute(_QUEUE_STEPS)
    op.execute("INSERT INTO tenants (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'default')")


def downgrade() -> None:
    op.execute("DROP VIEW queue_steps")
    op.execute("DROP FUNCTION delete_old_audit_entries")
    for table in (
        "webhook_attempts",
        "webhook_deliveries",
        "source_calls",
        "job_sources",
        "idempotency_keys",
        "hash_list_entries",
        "feedback",
        "blob_references",
        "webhook_endpoints",
        "text_rules",
        "jobs",
        "hash_lists",
        "blobs",
        "bank_contributions",
        "audit_log",
        "api_keys",
        "tenant_volumes",
        "tenants",
        "bank_snapshots",
        "bank_bases",
        "active_pipelines",
    ):
        op.drop_table(table)
