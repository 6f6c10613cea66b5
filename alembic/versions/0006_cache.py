"""The cache: by which question a generated image and an answer are found again, and which method is in force."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "active_pipelines",
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_methods_in_force")),
    )
    op.add_column("jobs", sa.Column("cache", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("jobs", sa.Column("answer_key", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("method", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("screened_by", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("cached_from", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_jobs_answers",
        "jobs",
        ["tenant_id", "answer_key", sa.literal_column("completed_at DESC")],
        unique=False,
        postgresql_where=sa.text("answer_key IS NOT NULL AND method IS NOT NULL"),
    )
    op.add_column("blob_references", sa.Column("cache_key", sa.Text(), nullable=True))
    op.add_column("blob_references", sa.Column("generated_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_blob_references_cache",
        "blob_references",
        ["cache_key", "tenant_id"],
        unique=False,
        postgresql_where=sa.text("cache_key IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_blob_references_cache", table_name="blob_references", postgresql_where=sa.text("cache_key IS NOT NULL")
    )
    op.drop_column("blob_references", "generated_at")
    op.drop_column("blob_references", "cache_key")
    op.drop_index(
        "ix_jobs_answers",
        table_name="jobs",
        postgresql_where=sa.text("answer_key IS NOT NULL AND method IS NOT NULL"),
    )
    op.drop_column("jobs", "cached_from")
    op.drop_column("jobs", "answered_at")
    op.drop_column("jobs", "screened_by")
    op.drop_column("jobs", "method")
    op.drop_column("jobs", "answer_key")
    op.drop_column("jobs", "cache")
    op.drop_table("active_pipelines")
