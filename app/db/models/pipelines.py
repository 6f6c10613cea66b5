"""The table of active pipelines: the captioners and the rankings that the workers have."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class ActivePipeline(Base):
    """What the workers that started last have loaded. The cache gives no result of another pipeline."""

    __tablename__ = "active_pipelines"

    part: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    activated_at: Mapped[datetime] = mapped_column(server_default=func.now())
