"""The tables of screening: perceptual hashes and rules for captions."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class HashList(Base):
    """Perceptual hashes (PDQ) of images that are refused; of one tenant, or (null) for all tenants."""

    __tablename__ = "hash_lists"
    __table_args__ = (Index(None, "tenant_id", "name", unique=True, postgresql_nulls_not_distinct=True),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    max_distance: Mapped[int] = mapped_column(SmallInteger)  # bits of 256
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HashListEntry(Base):
    """One hash of a list."""

    __tablename__ = "hash_list_entries"

    list_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("hash_lists.id", ondelete="CASCADE"), primary_key=True)
    pdq: Mapped[bytes] = mapped_column(primary_key=True)  # 32 bytes
    tags: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))


class TextRule(Base):
    """A rule that a caption must pass; of one tenant, or (null) for all tenants."""

    __tablename__ = "text_rules"
    __table_args__ = (Index(None, "tenant_id", "name", unique=True, postgresql_nulls_not_distinct=True),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=text("uuidv7()"))
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    kind: Mapped[str]  # words: whole words, in any case; regex: as RE2 understands it
    pattern: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
