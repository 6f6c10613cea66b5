"""The table of feedback: the true sources of images."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import DELETED_WITH_JOB, Base


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
