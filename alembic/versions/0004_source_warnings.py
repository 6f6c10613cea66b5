"""A job's source may carry a warning: that it is to be switched off, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_sources", sa.Column("warning", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("job_sources", "warning")
