"""What every table shares: the base with named constraints and our types, and the marks of personal data."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, MetaData, Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column
from sqlalchemy.types import TypeEngine


def one_of(column: str, values: type[StrEnum]) -> str:
    """The condition that a text column holds one of an enum's values."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


# To a millionth of a dollar: an image costs cents, or fractions of one.
USD = Numeric(12, 6)


class Base(DeclarativeBase):
    """Named constraints, so that a migration can name what it drops."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads this class attribute
        datetime: DateTime(timezone=True),
        uuid.UUID: Uuid(),
        str: Text(),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


class Clearing(StrEnum):
    """Why personal data of a job is cleared."""

    IMAGES = "images"  # images were kept for as long as the tenant wants
    CAPTIONS = "captions"  # captions and prompts were
    SCREENING = "screening"  # screening refused the image or a text
    DELETION = "deletion"  # the job is deleted; only its id, times and costs stay


# Among a table's arguments: its rows are deleted with their job, so that their columns need no marks for that.
DELETED_WITH_JOB: Mapping[str, Any] = {"info": {"deleted_with_job": True}}


def personal(
    *clearings: Clearing,
    to: Mapping[Clearing, str] | None = None,
    name: str | None = None,
    kind: type[TypeEngine[Any]] | TypeEngine[Any] | None = None,
    nullable: bool | None = None,
) -> MappedColumn[Any]:
    """A column that holds personal data: it is set to NULL for these reasons, and always when its job is deleted.

    Args:
        clearings: Besides `DELETION`, why the column is cleared.
        to: For reasons that clear only a part: the SQL expression of what stays.
        name: The column's name where it is not the attribute's.
        kind: Its type where the attribute's annotation does not say it.
        nullable: True for a column that only the clearing makes null, so that its annotation is not optional.
    """
    marks = dict.fromkeys((*clearings, Clearing.DELETION), "NULL") | dict(to or {})
    arguments: list[Any] = [each for each in (name, kind) if each is not None]
    if nullable is None:
        return mapped_column(*arguments, info={"personal": marks})
    return mapped_column(*arguments, nullable=nullable, info={"personal": marks})
