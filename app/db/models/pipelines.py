"""The table of what the workers work with: which captioner, and which way of ranking, is in force."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class ActivePipeline(Base):
    """What the workers that started last have loaded. An answer by anything else is not used again."""

    __tablename__ = "active_pipelines"

    part: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    activated_at: Mapped[datetime] = mapped_column(server_default=func.now())
