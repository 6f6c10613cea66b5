"""Keys, idempotency, audit, screening, webhooks, feedback, retention; jobs by URL that can be canceled and erased."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("sha256", name=op.f("uq_api_keys_sha256")),
    )
    op.create_index(op.f("ix_api_keys_tenant_id"), "api_keys", ["tenant_id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column(
            "detail",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_audit_log_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index(op.f("ix_audit_log_subject"), "audit_log", ["subject"], unique=False)
    op.create_index(op.f("ix_audit_log_tenant_id_id"), "audit_log", ["tenant_id", "id"], unique=False)
    op.create_table(
        "hash_lists",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_distance", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_hash_lists_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hash_lists")),
    )
    op.create_index(
        op.f("ix_hash_lists_tenant_id_name"),
        "hash_lists",
        ["tenant_id", "name"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "text_rules",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_text_rules_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_rules")),
    )
    op.create_index(
        op.f("ix_text_rules_tenant_id_name"),
        "text_rules",
        ["tenant_id", "name"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("events", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("secrets", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_endpoints_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index(op.f("ix_webhook_endpoints_tenant_id"), "webhook_endpoints", ["tenant_id"], unique=False)
    op.create_table(
        "feedback",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_feedback_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_feedback_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_feedback")),
    )
    op.create_table(
        "hash_list_entries",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("pdq", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tags",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["list_id"], ["hash_lists.id"], name=op.f("fk_hash_list_entries_list_id_hash_lists"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("list_id", "pdq", name=op.f("pk_hash_list_entries")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_idempotency_keys_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_expires_at"), "idempotency_keys", ["expires_at"], unique=False)
    op.create_index(op.f("ix_idempotency_keys_job_id"), "idempotency_keys", ["job_id"], unique=False)
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed', 'dropped')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_webhook_deliveries_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_deliveries_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_endpoint_id_id"), "webhook_deliveries", ["endpoint_id", "id"], unique=False
    )
    op.create_index(op.f("ix_webhook_deliveries_job_id"), "webhook_deliveries", ["job_id"], unique=False)
    op.create_index(op.f("ix_webhook_deliveries_tenant_id_id"), "webhook_deliveries", ["tenant_id", "id"], unique=False)
    op.create_table(
        "webhook_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_delivery_id_webhook_deliveries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_webhook_attempts")),
    )
    op.add_column("blobs", sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_blobs_gone", "blobs", ["gone_at"], unique=False, postgresql_where=sa.text("gone_at IS NOT NULL")
    )
    op.add_column("jobs", sa.Column("image_url", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("external_id", sa.Text(), nullable=True))
    op.add_column(
        "jobs", sa.Column("metadata", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column("jobs", sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("notify", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("jobs", sa.Column("webhook_url", sa.Text(), nullable=True))
    op.add_column(
        "jobs", sa.Column("webhook_events", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column(
        "jobs", sa.Column("evidence", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True)
    )
    op.add_column("jobs", sa.Column("images_erased_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("captions_erased_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint(op.f("ck_jobs_stage"), "jobs")
    op.create_check_constraint(
        op.f("ck_jobs_stage"),
        "jobs",
        "stage IN ('fetching', 'screening', 'captioning', 'resynthesizing', 'embedding', 'ranking')",
    )
    op.alter_column("jobs", "image", nullable=True)
    op.alter_column("jobs", "query_blob", nullable=True)
    op.create_index(
        "ix_jobs_cancel",
        "jobs",
        ["cancel_at"],
        unique=False,
        postgresql_where=sa.text("cancel_at IS NOT NULL AND status IN ('queued', 'processing')"),
    )
    op.create_index(
        "ix_jobs_captions",
        "jobs",
        ["tenant_id", "completed_at"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NOT NULL AND captions_erased_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_external_id",
        "jobs",
        ["tenant_id", "external_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_images",
        "jobs",
        ["tenant_id", "completed_at"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NOT NULL AND images_erased_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_ended",
        "jobs",
        ["tenant_id", "status", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("status IN ('succeeded', 'failed', 'canceled') AND erased_at IS NULL"),
    )
    op.drop_index("ix_jobs_listing", table_name="jobs")
    op.create_index(
        "ix_jobs_listing",
        "jobs",
        ["tenant_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("erased_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["tenant_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("status IN ('queued', 'processing')"),
    )
    op.create_index(
        "ix_jobs_results",
        "jobs",
        ["tenant_id", "completed_at"],
        unique=False,
        postgresql_where=sa.text("completed_at IS NOT NULL AND erased_at IS NULL"),
    )
    op.add_column("tenants", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("concurrent_jobs", sa.Integer(), nullable=True))
    op.add_column("tenants", sa.Column("retain_images", sa.Interval(), nullable=True))
    op.add_column("tenants", sa.Column("retain_captions", sa.Interval(), nullable=True))
    op.add_column("tenants", sa.Column("retain_results", sa.Interval(), nullable=True))
    op.add_column("tenants", sa.Column("webhook_secret", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "webhook_secret")
    op.drop_column("tenants", "retain_results")
    op.drop_column("tenants", "retain_captions")
    op.drop_column("tenants", "retain_images")
    op.drop_column("tenants", "concurrent_jobs")
    op.drop_column("tenants", "requests_per_minute")
    op.drop_column("tenants", "disabled_at")
    op.drop_index(
        "ix_jobs_results", table_name="jobs", postgresql_where=sa.text("completed_at IS NOT NULL AND erased_at IS NULL")
    )
    op.drop_index("ix_jobs_listing", table_name="jobs", postgresql_where=sa.text("erased_at IS NULL"))
    op.create_index(
        "ix_jobs_listing",
        "jobs",
        ["tenant_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.drop_index(
        "ix_jobs_ended",
        table_name="jobs",
        postgresql_where=sa.text("status IN ('succeeded', 'failed', 'canceled') AND erased_at IS NULL"),
    )
    op.drop_index("ix_jobs_open", table_name="jobs", postgresql_where=sa.text("status IN ('queued', 'processing')"))
    op.drop_index(
        "ix_jobs_images",
        table_name="jobs",
        postgresql_where=sa.text("completed_at IS NOT NULL AND images_erased_at IS NULL"),
    )
    op.drop_index("ix_jobs_external_id", table_name="jobs", postgresql_where=sa.text("external_id IS NOT NULL"))
    op.drop_index(
        "ix_jobs_captions",
        table_name="jobs",
        postgresql_where=sa.text("completed_at IS NOT NULL AND captions_erased_at IS NULL"),
    )
    op.drop_index(
        "ix_jobs_cancel",
        table_name="jobs",
        postgresql_where=sa.text("cancel_at IS NOT NULL AND status IN ('queued', 'processing')"),
    )
    # What the older schema cannot hold: jobs whose image was not fetched yet, and tombstones.
    op.execute("DELETE FROM jobs WHERE image IS NULL OR query_blob IS NULL")
    op.drop_constraint(op.f("ck_jobs_stage"), "jobs")
    op.create_check_constraint(
        op.f("ck_jobs_stage"), "jobs", "stage IN ('screening', 'captioning', 'resynthesizing', 'embedding', 'ranking')"
    )
    op.alter_column("jobs", "query_blob", nullable=False)
    op.alter_column("jobs", "image", nullable=False)
    op.drop_index("ix_blobs_gone", table_name="blobs", postgresql_where=sa.text("gone_at IS NOT NULL"))
    op.drop_column("blobs", "gone_at")
    op.drop_column("jobs", "erased_at")
    op.drop_column("jobs", "captions_erased_at")
    op.drop_column("jobs", "images_erased_at")
    op.drop_column("jobs", "evidence")
    op.drop_column("jobs", "webhook_events")
    op.drop_column("jobs", "webhook_url")
    op.drop_column("jobs", "notify")
    op.drop_column("jobs", "cancel_at")
    op.drop_column("jobs", "metadata")
    op.drop_column("jobs", "external_id")
    op.drop_column("jobs", "image_url")
    op.drop_table("webhook_attempts")
    op.drop_table("webhook_deliveries")
    op.drop_table("idempotency_keys")
    op.drop_table("hash_list_entries")
    op.drop_table("feedback")
    op.drop_table("webhook_endpoints")
    op.drop_table("text_rules")
    op.drop_table("hash_lists")
    op.drop_table("audit_log")
    op.drop_table("api_keys")
