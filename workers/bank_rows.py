"""Rows of the bank's tables as values of the method: past jobs and bases."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from app.db.models import BankBasis, BankContribution
from attribution.bank import PastJob
from attribution.bank.basis import basis_version
from attribution.bank.files import hashed
from attribution.bank.stack import Floats

_OLD, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)


def columns_of(past: PastJob, basis: Floats | None = None) -> dict[str, Any]:
    """A contribution's columns of a past job that is whole, or projected on this basis."""
    sources = sorted(past.images)
    return {
        "sources": sources,
        "counts": [len(past.images[source]) for source in sources],
        "features": np.concatenate([past.images[source] for source in sources]).astype(np.float16).tobytes(),
        "length": past.length,
        "basis": None if basis is None else basis_version(basis),
    }


def past_job_of(row: BankContribution) -> PastJob:
    """The past job of a contribution, whole or projected, under the name that it has in banks."""
    features = np.frombuffer(row.features, np.float16).reshape(sum(row.counts), -1)
    parts = np.split(features, np.cumsum(row.counts)[:-1])
    return PastJob(name_of(row.job_id, row.tenant_id), dict(zip(row.sources, parts, strict=True)), row.length)


def name_of(job_id: uuid.UUID, tenant_id: uuid.UUID | None) -> str:
    """The name of a job in banks; an imported one has no tenant, and its name already."""
    return job_id.hex if tenant_id is None else hashed(str(job_id))


def basis_of(row: BankBasis) -> Floats:
    """(D, d): the basis in a row."""
    return np.frombuffer(row.data, np.float16).reshape(row.length, -1).astype(np.float64)


def bytes_of(basis: Floats) -> bytes:
    """The inverse of `basis_of`."""
    return basis.astype(np.float16).tobytes()


def imported_rows(past: Sequence[PastJob], space: str, basis: Floats | None) -> list[dict[str, Any]]:
    """Contributions of another installation's jobs: of no tenant, and older than any job here."""
    return [
        columns_of(job, basis)
        | {"job_id": uuid.UUID(hex=job.job), "tenant_id": None, "space": space, "job_created_at": _OLD + at * _SECOND}
        for at, job in enumerate(past)
    ]
