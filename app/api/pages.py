"""Pages of listings, and the one kind of cursor: the position of the last item that was shown.

Pages neither repeat nor skip an item while new ones are added. A cursor is bound to its listing, its tenant and its
filters by a checksum, so that mixing them up is an error. It is no secret: it only names a position in one's own list.
"""

import base64
import hashlib
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Query
from pydantic import Field

from app.errors import InvalidRequest
from app.jobs.listing import Position

Limit = Annotated[int, Query(ge=1, le=100, description="items on a page")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
NextCursor = Annotated[str | None, Field(description="`cursor` of the next page; null on the last one")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POSITION = struct.Struct(">q16s9s")  # microseconds since 1970, the item's id, a checksum


class Listed(Protocol):
    """A row with an id."""

    @property
    def id(self) -> Any:
        """Its UUID."""


Item = TypeVar("Item", bound=Listed)


@dataclass(frozen=True, slots=True)
class Listing:
    """One listing of one tenant with its filters, which must have a stable `repr`."""

    name: str
    tenant_id: uuid.UUID
    filters: tuple[Any, ...] = ()

    def after(self, cursor: str | None) -> Position | None:
        """The position behind which the page begins. Raises InvalidRequest for a cursor of another listing."""
        if cursor is None:
            return None
        try:
            moment, id_bytes, checksum = _POSITION.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
        except (ValueError, struct.error):
            raise _foreign_cursor() from None
        item_id = uuid.UUID(bytes=id_bytes)
        if checksum != self._checksum(moment, item_id):
            raise _foreign_cursor()
        return Position(_EPOCH + moment * _MICROSECOND, item_id)

    def after_id(self, cursor: str | None) -> uuid.UUID | None:
        """The same for a listing in the order of its ids alone."""
        position = self.after(cursor)
        return None if position is None else position.id

    def page(self, rows: Sequence[Item], limit: int) -> tuple[Sequence[Item], str | None]:
        """At most `limit` of the rows, and the next cursor. One row more than `limit` means that a page follows."""
        page = rows[:limit]
        return page, self._cursor(page[-1]) if len(rows) > limit else None

    def _cursor(self, row: Listed) -> str:
        moment = (getattr(row, "created_at", _EPOCH) - _EPOCH) // _MICROSECOND
        return base64.urlsafe_b64encode(_POSITION.pack(moment, row.id.bytes, self._checksum(moment, row.id))).decode()

    def _checksum(self, moment: int, item_id: uuid.UUID) -> bytes:
        return hashlib.sha256(repr((moment, item_id, self)).encode()).digest()[:9]


def _foreign_cursor() -> InvalidRequest:
    detail = "This is not a cursor of this listing with these filters; begin again without it."
    return InvalidRequest(detail, errors=[{"detail": detail, "parameter": "cursor"}])
