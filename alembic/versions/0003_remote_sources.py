"""Calls of vendors and what they cost, budgets, sources that wait for their turn, jobs that stay in the house."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_USD = sa.Numeric(12, 6)
_WAITING = sa.text("state = 'pending' AND next_attempt_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "source_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("k", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("images", sa.SmallInteger(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("sent", sa.Text(), server_default=sa.text("'prompt'"), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("reserved_usd", _USD, nullable=False),
        sa.Column("settled_usd", _USD, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_source_calls_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_source_calls_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_calls")),
    )
    op.create_index(op.f("ix_source_calls_job_id_source"), "source_calls", ["job_id", "source"], unique=False)
    op.add_column("jobs", sa.Column("local_only", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("jobs", sa.Column("budget_usd", _USD, nullable=True))
    op.add_column("jobs", sa.Column("spent_usd", _USD, server_default=sa.text("0"), nullable=False))
    op.add_column("jobs", sa.Column("calls", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("job_sources", sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_job_sources_waiting", "job_sources", ["source", "job_id"], unique=False, postgresql_where=_WAITING
    )
    op.add_column("tenants", sa.Column("budget_usd", _USD, nullable=True))
    op.add_column("tenants", sa.Column("max_budget_usd", _USD, nullable=True))
    op.add_column("tenants", sa.Column("local_only", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("tenants", "local_only")
    op.drop_column("tenants", "max_budget_usd")
    op.drop_column("tenants", "budget_usd")
    op.drop_index("ix_job_sources_waiting", table_name="job_sources", postgresql_where=_WAITING)
    op.drop_column("job_sources", "next_attempt_at")
    op.drop_column("jobs", "calls")
    op.drop_column("jobs", "spent_usd")
    op.drop_column("jobs", "budget_usd")
    op.drop_column("jobs", "local_only")
    op.drop_table("source_calls")
