"""SQL that deletes what would otherwise grow for ever: rows that no job's own retention deletes.

Each function deletes one portion of what is older than a span, and returns how many rows that were. Where ids are UUIDs
of version 7, which begin with their time, the primary key finds the oldest rows.
"""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

PORTION = 1_000


def delete_audit_entries(session: Session, span: timedelta) -> int:
    """Entries of the audit log, by the one function in Postgres that may; entries of the last 30 days always stay."""
    deleted: int = session.scalars(_AUDIT, {"span": span, "portion": PORTION}).one()
    return deleted


_AUDIT = text("SELECT delete_old_audit_entries(:span, :portion)")


def _deletes(statement: str) -> Callable[[Session, timedelta], int]:
    prepared = text(f"WITH deleted AS ({statement} RETURNING 1) SELECT count(*) FROM deleted")  # noqa: S608 - our own words

    def delete(session: Session, span: timedelta) -> int:
        deleted: int = session.scalars(prepared, {"span": span, "portion": PORTION}).one()
        return deleted

    return delete


# Jobs that were deleted that long ago: their id is unknown afterwards, where it was a 410 before.
delete_tombstones = _deletes(
    """
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs WHERE deleted_at < now() - :span ORDER BY deleted_at LIMIT :portion FOR UPDATE SKIP LOCKED
    )
    """
)
# Records of calls to vendors that were made that long ago. They outlive their job's tombstone.
delete_source_calls = _deletes(
    "DELETE FROM source_calls WHERE id IN ("
    "SELECT id FROM source_calls WHERE created_at < now() - :span ORDER BY created_at LIMIT :portion)"
)
# Keys that were revoked, or expired, that long ago.
delete_unusable_keys = _deletes(
    "DELETE FROM api_keys WHERE id IN ("
    "SELECT id FROM api_keys WHERE least(revoked_at, expires_at) < now() - :span LIMIT :portion)"
)
# Deliveries that were made or given up, with their attempts.
delete_deliveries = _deletes(
    "DELETE FROM webhook_deliveries WHERE id IN ("
    "SELECT id FROM webhook_deliveries "
    "WHERE id < (SELECT uuidv7(-CAST(:span AS interval))) AND completed_at < now() - :span "
    "ORDER BY id LIMIT :portion)"
)
# Volumes of past days.
delete_volumes = _deletes(
    "DELETE FROM tenant_volumes WHERE (day, tenant_id) IN ("
    "SELECT day, tenant_id FROM tenant_volumes WHERE day < (now() - :span)::date LIMIT :portion)"
)
