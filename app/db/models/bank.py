"""The tables of the bank: what past jobs contributed to it, and the state of it that ranking uses."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, ForeignKey, Index, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Clearing, personal


class BankContribution(Base):
    """One job's generated images as residuals: no pixels, no text, nothing of the query image.

    A job contributes once, and a caption counts once. `job_id` is no foreign key: imported contributions are of other
    installations' jobs, and belong to no tenant.
    """

    __tablename__ = "bank_contributions"
    __table_args__ = (
        Index("ix_bank_contributions_window", "space", "job_created_at"),
        Index("ix_bank_contributions_caption", "space", "caption_hash", unique=True),
        Index(None, "tenant_id"),
    )

    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tenants.id"))
    space: Mapped[str]  # the embedder and the version of the features
    caption_hash: Mapped[str | None] = personal(Clearing.CAPTIONS, Clearing.SCREENING)
    # "id@revision" of each source, its number of images, and their residuals one after another, float16.
    sources: Mapped[list[str]] = mapped_column(ARRAY(Text))
    counts: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    features: Mapped[bytes]
    length: Mapped[int]  # of a residual before it was projected
    basis: Mapped[str | None]  # the version of the basis on which they are projected; null while they are whole
    job_created_at: Mapped[datetime]
    contributed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class BankBasis(Base):
    """The directions on which a feature space's contributions are projected."""

    __tablename__ = "bank_bases"

    space: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    length: Mapped[int]
    data: Mapped[bytes]  # (length, d), float16
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BankSnapshot(Base):
    """The state of the bank that ranking uses, of one feature space; the next one replaces it."""

    __tablename__ = "bank_snapshots"

    space: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str]
    data: Mapped[bytes]  # a file of attribution.bank.files
    jobs: Mapped[dict[str, Any]]  # past jobs by "id@revision"
    drift: Mapped[dict[str, Any]]  # by "id@revision"
    compiled_at: Mapped[datetime] = mapped_column(server_default=func.now())
