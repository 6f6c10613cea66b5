"""The table of calls to vendors: what was sent to third parties, and what it cost."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import USD, Base, personal

# What is sent to third parties: to a source the caption, to a captioner the image.
PROMPT, IMAGE = "prompt", "image"


class SourceCall(Base):
    """One call to a vendor, recorded before it was sent. Until it is settled its reservation counts as spent."""

    __tablename__ = "source_calls"
    __table_args__ = (Index(None, "job_id", "source"), Index(None, "created_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[uuid.UUID]  # no foreign key: the record outlives the job's tombstone
    source: Mapped[str]  # its id, or the captioner's name
    k: Mapped[int] = mapped_column(SmallInteger)  # the first generated image that was ordered
    number: Mapped[int] = mapped_column(SmallInteger)  # counts the calls for this image, from 1
    images: Mapped[int] = mapped_column(SmallInteger)
    external: Mapped[bool]
    sent: Mapped[str] = mapped_column(server_default=text(f"'{PROMPT}'"))  # PROMPT or IMAGE
    vendor_task: Mapped[str | None] = (
        personal()
    )  # the vendor's handle: after a worker's death it is polled, and the images are not ordered again
    reserved_usd: Mapped[Decimal] = mapped_column(USD)
    settled_usd: Mapped[Decimal | None] = mapped_column(USD)
    outcome: Mapped[str | None]  # a state of sources; null while it is unknown
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
