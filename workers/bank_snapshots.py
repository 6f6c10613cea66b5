"""Compiles the bank that ranking uses, by beat: the window of past jobs of each feature space, as one versioned value.

At most once an hour, or once fifty jobs have contributed: what a tenant asked changes no other tenant's result at
once. Contributions are projected on the feature space's basis on the way, and older ones leave.
"""

from collections.abc import Sequence

import structlog
from sqlalchemy.orm import Session

from app.db import bank_repository
from app.db.models import BankContribution
from app.settings import BankSettings
from attribution.bank import Bank, PastJob
from attribution.bank.basis import FEWEST_JOBS_OF_BASIS, basis_version, make_basis, moved, projected
from attribution.bank.drift import drift
from attribution.bank.files import pack_bank
from attribution.bank.stack import Floats
from attribution.bank.window import newest_window
from workers.bank_rows import basis_of, bytes_of, columns_of, past_job_of
from workers.storage import Storage

log = structlog.get_logger(__name__)
DRIFTED = 3.0  # of attribution.bank.drift, where chance makes about 1


def compile_due(storage: Storage) -> None:
    """Compiles the snapshots that are due. Raises ConfigurationError where a shipped bank is not readable."""
    settings, shipped = storage.banks.settings, storage.banks.shipped
    with storage.database.statement() as session:
        spaces = bank_repository.list_spaces(session)
    for space in sorted({*spaces, *shipped}):
        with storage.database.statement() as session:
            due = bank_repository.is_due(session, space, settings.snapshot_every, settings.snapshot_jobs)
        if due:
            compile_snapshot(storage, space)


def compile_snapshot(storage: Storage, space: str) -> Bank | None:
    """Compiles a feature space's snapshot now; None where another process is doing that."""
    settings, shipped = storage.banks.settings, storage.banks.shipped.get(space)
    with storage.database.transaction(durable=False) as session:
        if not bank_repository.try_lock_space(session, space):
            return None
        bank_repository.delete_outside_window(session, space, settings.window)
        bank = _compiled(session, space, settings, shipped)
        changes = drift(bank.past)
        values = {"version": bank.version, "data": pack_bank(bank), "jobs": dict(bank.jobs), "drift": dict(changes)}
        bank_repository.upsert_snapshot(session, space, **values)
    log.info("bank_compiled", space=space, version=bank.version, jobs=len(bank.past))
    for source, change in changes.items():
        if change > DRIFTED:
            log.warning("source_drifted", source=source, drift=round(change, 1))
    return bank


def _compiled(session: Session, space: str, settings: BankSettings, shipped: Bank | None) -> Bank:
    rows = bank_repository.list_contributions(session, space, settings.window)
    basis = _basis(session, space, rows, shipped)
    own = [past_job_of(row) if row.basis or basis is None else _project(session, row, basis) for row in rows]
    behind = () if shipped is None else shipped.past
    if shipped is not None and basis is not None:
        behind = tuple(moved(job, shipped.basis, basis) for job in behind)
    return Bank(space, newest_window(own, behind, settings.window), basis)


def _project(session: Session, row: BankContribution, basis: Floats) -> PastJob:
    past = projected(past_job_of(row), basis)
    values = columns_of(past, basis)
    bank_repository.update_features(session, row.job_id, values["features"], values["basis"])
    return past


def _basis(session: Session, space: str, rows: Sequence[BankContribution], shipped: Bank | None) -> Floats | None:
    """The space's basis; it gets that of the shipped bank, or one of its own once enough jobs have contributed."""
    row = bank_repository.get_basis(session, space)
    if row is not None:
        return basis_of(row)
    if shipped is not None and shipped.basis is not None:
        basis = shipped.basis
    elif len(rows) >= FEWEST_JOBS_OF_BASIS:
        basis = make_basis([past_job_of(row) for row in rows])
    else:
        return None
    bank_repository.insert_basis(session, space, basis_version(basis), len(basis), bytes_of(basis))
    return basis
