"""SQL of hash lists and text rules: those of one tenant and, with a null tenant, those for all."""

import itertools
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db.models import HashList, HashListEntry, TextRule
from app.screening.hash_csv import HashRow

_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class ListSummary:
    """A hash list without its hashes."""

    id: uuid.UUID
    tenant_id: uuid.UUID | None
    name: str
    max_distance: int
    hashes: int
    created_at: datetime
    updated_at: datetime


def upsert_list(
    session: Session, tenant_id: uuid.UUID | None, name: str, max_distance: int, rows: Iterable[HashRow]
) -> tuple[uuid.UUID, bool]:
    """Replaces the list's hashes by the rows: its id, and whether it is new.

    A hash that comes twice is kept once. Raises what `rows` raises; the caller's transaction is then to be rolled back.
    """
    values = {"tenant_id": tenant_id, "name": name, "max_distance": max_distance}
    changed = {"max_distance": max_distance, "updated_at": func.clock_timestamp()}
    list_id, created = session.execute(
        insert(HashList)
        .values(**values)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_=changed)
        .returning(HashList.id, text("xmax = 0"))
    ).one()
    if not created:
        session.execute(delete(HashListEntry).where(HashListEntry.list_id == list_id))
    for portion in _portions(rows):
        given = {
            "list_id": list_id,
            "hashes": [row.pdq for row in portion],
            "tags": [json.dumps(row.tags) for row in portion],
        }
        session.execute(_INSERT_ENTRIES, given)
    return list_id, created


_INSERT_ENTRIES = text(
    """
    INSERT INTO hash_list_entries (list_id, pdq, tags)
    SELECT :list_id, pdq, CAST(tags AS jsonb)
    FROM unnest(CAST(:hashes AS bytea[]), CAST(:tags AS text[])) AS new (pdq, tags)
    ON CONFLICT DO NOTHING
    """
)


def _portions(rows: Iterable[HashRow]) -> Iterator[list[HashRow]]:
    iterator = iter(rows)
    while portion := list(itertools.islice(iterator, _ROWS_AT_ONCE)):
        yield portion


def list_hash_lists_owned_by(session: Session, tenant_id: uuid.UUID | None) -> Sequence[ListSummary]:
    """The lists that belong to the tenant itself, by name; the global ones for None."""
    return _summaries(session, _owned(HashList, tenant_id))


def get_hash_list(session: Session, tenant_id: uuid.UUID | None, list_id: uuid.UUID) -> ListSummary | None:
    """The list, if it belongs to the tenant itself."""
    return next(iter(_summaries(session, _owned(HashList, tenant_id) & (HashList.id == list_id))), None)


def _summaries(session: Session, which: ColumnElement[bool]) -> Sequence[ListSummary]:
    hashes = select(func.count()).where(HashListEntry.list_id == HashList.id).scalar_subquery()
    found = session.execute(select(HashList, hashes).where(which).order_by(HashList.name)).all()
    return [
        ListSummary(row.id, row.tenant_id, row.name, row.max_distance, count, row.created_at, row.updated_at)
        for row, count in found
    ]


def delete_hash_list(session: Session, tenant_id: uuid.UUID | None, list_id: uuid.UUID) -> str | None:
    """Removes a list of the tenant's own with its hashes: its name, or None where there is no such list."""
    return session.scalar(
        delete(HashList).where(_owned(HashList, tenant_id), HashList.id == list_id).returning(HashList.name)
    )


def upsert_rule(
    session: Session, tenant_id: uuid.UUID | None, name: str, kind: str, pattern: str
) -> tuple[TextRule, bool]:
    """Adds the rule or replaces the one of that name; the pattern compiles. The row, and whether it is new."""
    rule_id, created = session.execute(
        insert(TextRule)
        .values(tenant_id=tenant_id, name=name, kind=kind, pattern=pattern)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_={"kind": kind, "pattern": pattern})
        .returning(TextRule.id, text("xmax = 0"))
    ).one()
    return session.get_one(TextRule, rule_id), created


def list_rules_owned_by(session: Session, tenant_id: uuid.UUID | None) -> Sequence[TextRule]:
    """The rules that belong to the tenant itself, by name; the global ones for None."""
    return session.scalars(select(TextRule).where(_owned(TextRule, tenant_id)).order_by(TextRule.name)).all()


def get_rule(session: Session, tenant_id: uuid.UUID | None, rule_id: uuid.UUID) -> TextRule | None:
    """The rule, if it belongs to the tenant itself."""
    return session.scalar(select(TextRule).where(_owned(TextRule, tenant_id), TextRule.id == rule_id))


def delete_rule(session: Session, tenant_id: uuid.UUID | None, rule_id: uuid.UUID) -> str | None:
    """Removes a rule of the tenant's own: its name, or None where there is no such rule."""
    return session.scalar(
        delete(TextRule).where(_owned(TextRule, tenant_id), TextRule.id == rule_id).returning(TextRule.name)
    )


def _owned(kind: type[HashList] | type[TextRule], tenant_id: uuid.UUID | None) -> ColumnElement[bool]:
    return kind.tenant_id.is_not_distinct_from(tenant_id)


def list_hash_lists_applying_to(session: Session, tenant_id: uuid.UUID) -> Sequence[HashList]:
    """The lists that a tenant's images are compared with: its own and those for all."""
    return session.scalars(select(HashList).where(_applies(HashList, tenant_id)).order_by(HashList.id)).all()


def list_rules_applying_to(session: Session, tenant_id: uuid.UUID) -> Sequence[TextRule]:
    """The rules that a tenant's texts must pass: its own and those for all."""
    return session.scalars(select(TextRule).where(_applies(TextRule, tenant_id)).order_by(TextRule.id)).all()


def _applies(kind: type[HashList] | type[TextRule], tenant_id: uuid.UUID) -> ColumnElement[bool]:
    return or_(kind.tenant_id.is_(None), kind.tenant_id == tenant_id)


# The lists and rules that apply to a tenant, as a text that changes with them. A job that passed screening under
# another text is screened again.
LISTS_FINGERPRINT = """
    coalesce((SELECT md5(string_agg(CAST(l.id AS text) || CAST(l.updated_at AS text), ',' ORDER BY l.id))
              FROM hash_lists l WHERE l.tenant_id IS NULL OR l.tenant_id = :tenant_id), '')
"""
RULES_FINGERPRINT = """
    coalesce((SELECT md5(string_agg(CAST(r.id AS text) || r.kind || md5(r.pattern), ',' ORDER BY r.id))
              FROM text_rules r WHERE r.tenant_id IS NULL OR r.tenant_id = :tenant_id), '')
"""
SCREENING_FINGERPRINT = f"({LISTS_FINGERPRINT} || '/' || {RULES_FINGERPRINT})"


def get_fingerprint(session: Session, fingerprint: str, tenant_id: uuid.UUID) -> str:
    """`LISTS_FINGERPRINT` or `RULES_FINGERPRINT` of a tenant; read it before the lists or rules themselves."""
    return str(session.execute(text(f"SELECT {fingerprint}"), {"tenant_id": tenant_id}).scalar_one())


def list_hashes(session: Session, list_id: uuid.UUID) -> Iterator[bytes]:
    """The hashes of a list, 32 bytes each, in 256 long strings of them: a row for each cost seconds per million."""
    yield from session.scalars(_HASHES, {"list_id": list_id})


_HASHES = text(
    """
    SELECT string_agg(pdq, CAST('' AS bytea)) FROM hash_list_entries WHERE list_id = :list_id GROUP BY get_byte(pdq, 0)
    """
)
