"""SQL of the bank: contributions of past jobs, the basis of each feature space, and the snapshots that ranking uses.

How a job's contribution is inserted is in `app.jobs.contribution_repository`, with the job's end of it.
"""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db.models import BankBasis, BankContribution, BankSnapshot


def delete_contribution(session: Session, job_id: uuid.UUID) -> None:
    """Deletes what a job contributed; the next snapshot is without it."""
    session.execute(delete(BankContribution).where(BankContribution.job_id == job_id))


def delete_contributions_of_tenant(session: Session, tenant_id: uuid.UUID) -> int:
    """Deletes what all jobs of a tenant contributed; returns how many jobs that were."""
    deleted = session.execute(
        delete(BankContribution).where(BankContribution.tenant_id == tenant_id).returning(BankContribution.job_id)
    )
    return len(deleted.all())


def delete_contributions_of_jobs(session: Session) -> None:
    """Deletes what this installation's jobs contributed; what was imported or generated for the bank itself stays."""
    session.execute(delete(BankContribution).where(BankContribution.tenant_id.is_not(None)))


def delete_bases(session: Session) -> Sequence[BankBasis]:
    """Deletes the basis of every feature space, and returns them."""
    return session.scalars(delete(BankBasis).returning(BankBasis)).all()


def list_contributions(session: Session, space: str, limit: int | None = None) -> Sequence[BankContribution]:
    """The newest contributions to a feature space, oldest first."""
    newest = (
        select(BankContribution)
        .where(BankContribution.space == space)
        .order_by(BankContribution.job_created_at.desc(), BankContribution.job_id.desc())
        .limit(limit)
    )
    return session.scalars(newest).all()[::-1]


def insert_contributions(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Inserts contributions that belong to no job here; those that exist stay. Returns how many are new."""
    if not rows:
        return 0
    made = session.execute(
        insert(BankContribution).values(list(rows)).on_conflict_do_nothing().returning(BankContribution.job_id)
    )
    return len(made.all())


def update_features(session: Session, job_id: uuid.UUID, features: bytes, basis: str | None) -> None:
    """Replaces a contribution by its projection on the basis of that version, or by a whole one."""
    session.execute(
        update(BankContribution).where(BankContribution.job_id == job_id).values(features=features, basis=basis)
    )


def delete_outside_window(session: Session, space: str, window: int) -> None:
    """Deletes all contributions to a feature space but the newest ones."""
    session.execute(_DELETE_OUTSIDE_WINDOW, {"space": space, "window": window})


_DELETE_OUTSIDE_WINDOW = text(
    """
    DELETE FROM bank_contributions WHERE job_id IN (
        SELECT job_id FROM bank_contributions WHERE space = :space
        ORDER BY job_created_at DESC, job_id DESC OFFSET :window
    )
    """
)


def get_basis(session: Session, space: str) -> BankBasis | None:
    """The basis of a feature space, if it has one."""
    return session.get(BankBasis, space)


def insert_basis(session: Session, space: str, version: str, length: int, data: bytes) -> None:
    """Gives a feature space its basis, for good."""
    session.add(BankBasis(space=space, version=version, length=length, data=data))
    session.flush()


def try_lock_space(session: Session, space: str) -> bool:
    """Whether this transaction alone may change a feature space's basis and projections; another one may be at it."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(_lock_of(space)))))


def lock_space(session: Session, space: str) -> None:
    """Waits until this transaction alone may change a feature space's basis and projections."""
    session.execute(select(func.pg_advisory_xact_lock(_lock_of(space))))


def _lock_of(space: str) -> ColumnElement[int]:
    return func.hashtext(f"bank/{space}")


def list_spaces(session: Session) -> Sequence[str]:
    """The feature spaces to which jobs have contributed, or that have a snapshot."""
    return session.scalars(
        select(BankContribution.space).distinct().union(select(BankSnapshot.space)).order_by("space")
    ).all()


def is_due(session: Session, space: str, every: timedelta, jobs: int) -> bool:
    """Whether a feature space's snapshot is missing, is that old, or lacks that many contributions."""
    return bool(session.scalar(_IS_DUE, {"space": space, "every": every, "jobs": jobs}))


_IS_DUE = text(
    """
    SELECT s.compiled_at IS NULL OR s.compiled_at < now() - :every OR :jobs <= (
        SELECT count(*) FROM bank_contributions c WHERE c.space = w.space AND c.contributed_at > s.compiled_at
    )
    FROM (SELECT CAST(:space AS text) AS space) w LEFT JOIN bank_snapshots s USING (space)
    """
)


def upsert_snapshot(session: Session, space: str, **values: Any) -> None:
    """Makes this the feature space's snapshot, as compiled now."""
    values |= {"compiled_at": func.now()}
    statement = insert(BankSnapshot).values(space=space, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["space"], set_=values))


def get_snapshot_unless(session: Session, space: str, version: str | None) -> tuple[str, bytes | None] | None:
    """The version of a feature space's snapshot, and its bytes unless it is the given one; None without a snapshot."""
    row = session.execute(_GET_UNLESS, {"space": space, "version": version}).one_or_none()
    return None if row is None else (row.version, row.data)


_GET_UNLESS = text(
    """
    SELECT version, CASE WHEN version IS DISTINCT FROM :version THEN data END AS data
    FROM bank_snapshots WHERE space = :space
    """
)


def list_snapshots(session: Session) -> Sequence[BankSnapshot]:
    """Every snapshot without its bytes, by feature space."""
    columns = (
        BankSnapshot.space,
        BankSnapshot.version,
        BankSnapshot.jobs,
        BankSnapshot.drift,
        BankSnapshot.compiled_at,
    )
    return [BankSnapshot(**row._asdict()) for row in session.execute(select(*columns).order_by(BankSnapshot.space))]


def has_caption(session: Session, space: str, caption_hash: str) -> bool:
    """Whether a caption contributed to a feature space."""
    which = (BankContribution.space == space, BankContribution.caption_hash == caption_hash)
    return session.scalar(select(BankContribution.job_id).where(*which)) is not None
