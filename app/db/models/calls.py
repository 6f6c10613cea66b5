"""The table of what was asked of sources that somebody serves: what left the house, and what it cost."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import USD, Base, personal

# What leaves the house: to a source the caption, to a captioner the image.
PROMPT, IMAGE = "prompt", "image"


class SourceCall(Base):
    """One order to a vendor, written down before it was sent. Until it is settled its reservation counts as spent."""

    __tablename__ = "source_calls"
    __table_args__ = (Index(None, "job_id", "source"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    source: Mapped[str]  # its id, or the captioner's name
    k: Mapped[int] = mapped_column(SmallInteger)  # the first generated image that was ordered
    number: Mapped[int] = mapped_column(SmallInteger)  # the how-manieth order of this generated image, from 1
    images: Mapped[int] = mapped_column(SmallInteger)
    external: Mapped[bool]
    sent: Mapped[str] = mapped_column(server_default=text(f"'{PROMPT}'"))  # what left the house
    vendor_task: Mapped[str | None] = (
        personal()
    )  # the vendor's handle: polled, and not ordered again, after a worker's death
    reserved_usd: Mapped[Decimal] = mapped_column(USD)
    settled_usd: Mapped[Decimal | None] = mapped_column(USD)
    outcome: Mapped[str | None]  # a state of sources; null where nobody knows (yet)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    settled_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class SourceSpend:
    """The calls of one source for a job, added up; an unsettled call counts with what it may cost."""

    source: str
    sent: str
    external: bool
    calls: int
    images: int
    usd: Decimal
    unsettled: int
