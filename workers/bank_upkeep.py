"""What an operator does with the bank: computes it anew, exports it, imports one."""

from sqlalchemy.orm import Session

from app.db import bank_repository
from app.errors import NotFound
from app.jobs import contribution_repository
from attribution.bank import Bank
from attribution.bank.basis import basis_version, moved, whole
from workers.bank_rows import basis_of, bytes_of, columns_of, imported_rows, past_job_of
from workers.bank_snapshots import compile_snapshot
from workers.contribute import contribute
from workers.storage import Storage


def rebuild(storage: Storage, *, new_basis: bool) -> int:
    """Computes what jobs contributed anew from their features, and the snapshots; returns how many jobs that were.

    Contributions of jobs that retention has deleted are lost, as their features are. With `new_basis` residuals are
    projected on directions that are found anew; imported contributions lose what the old ones did not contain.
    """
    with storage.database.transaction() as session:
        for space in bank_repository.list_spaces(session):
            bank_repository.lock_space(session, space)
        bank_repository.delete_contributions_of_jobs(session)
        if new_basis:
            _make_whole(session)
        jobs = contribution_repository.reset(session)
    while contribute(storage, seconds=60):
        pass
    compile_all(storage)
    return jobs


def _make_whole(session: Session) -> None:
    """Deletes all bases; contributions that were projected on them are as if they had not been."""
    for row in bank_repository.delete_bases(session):
        basis = basis_of(row)
        for each in bank_repository.list_contributions(session, row.space):
            if each.basis is not None:
                features = columns_of(whole(past_job_of(each), basis))["features"]
                bank_repository.update_features(session, each.job_id, features, None)


def compile_all(storage: Storage) -> None:
    """Compiles every feature space's snapshot."""
    with storage.database.statement() as session:
        spaces = bank_repository.list_spaces(session)
    for space in sorted({*spaces, *storage.banks.shipped}):
        compile_snapshot(storage, space)


def exported(storage: Storage, space: str) -> bytes:
    """The file of a feature space's bank as it is now. Raises NotFound where there is none."""
    compile_snapshot(storage, space)
    with storage.database.statement() as session:
        found = bank_repository.get_snapshot_unless(session, space, None)
    if found is None or found[1] is None:
        raise NotFound(f"There is no bank of the feature space {space!r}; `bank show` lists them.")
    return found[1]


def import_bank(storage: Storage, bank: Bank) -> int:
    """Adds another installation's past jobs behind this one's; returns how many are new. Again is fine.

    A feature space without a basis gets the bank's; otherwise its past jobs are moved to the basis that is there.
    """
    with storage.database.transaction() as session:
        bank_repository.lock_space(session, bank.space)
        row = bank_repository.get_basis(session, bank.space)
        basis = None if row is None else basis_of(row)
        past = bank.past
        if basis is not None:
            past = tuple(moved(job, bank.basis, basis) for job in past)
        elif bank.basis is not None:
            basis = bank.basis
            bank_repository.insert_basis(session, bank.space, basis_version(basis), len(basis), bytes_of(basis))
        new = bank_repository.insert_contributions(session, imported_rows(past, bank.space, basis))
    compile_snapshot(storage, bank.space)
    return new
