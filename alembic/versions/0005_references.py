"""Sources whose generated images the caller brings."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_sources", sa.Column("origin", sa.Text(), server_default="generator", nullable=False))
    op.create_check_constraint(op.f("ck_job_sources_origin"), "job_sources", "origin IN ('generator', 'reference')")


def downgrade() -> None:
    # What the older version would wait for, and nobody could bring any more.
    op.execute(
        "UPDATE job_sources SET state = 'skipped', lease_until = NULL, completed_at = now(), "
        "reason = 'This version of the service takes no generated images from its callers.' "
        "WHERE origin = 'reference' AND state IN ('pending', 'running', 'awaiting_reference')"
    )
    op.drop_constraint(op.f("ck_job_sources_origin"), "job_sources")
    op.drop_column("job_sources", "origin")
