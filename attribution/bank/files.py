"""Banks as files: what an installation exports, imports and ships, and how it keeps its snapshots.

An npz without pickled objects; the same bank is the same bytes. Jobs are only numbered in it by hashes of their ids.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from attribution.bank.bank import Bank
from attribution.bank.past_job import PastJob
from attribution.errors import ConfigurationError

_SCHEMA: Final = 1
_UNREADABLE = (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile)


def hashed(job: str) -> str:
    """The name of a job in a bank: its id cannot be recovered from it."""
    return sha256(f"bank/{job}".encode()).hexdigest()[:32]


def pack_bank(bank: Bank) -> bytes:
    """The file: `rows` (n, d) of all images, and in `cells` the job, the source and the number of images of each part.

    Without a basis, residuals of different jobs must be equally long.
    """
    sources = list(bank.jobs)
    place = {source: at for at, source in enumerate(sources)}
    cells = [
        (at, place[source], len(job.images[source]))
        for at, job in enumerate(bank.past)
        for source in sorted(job.images)
    ]
    rows = [job.images[source] for job in bank.past for source in sorted(job.images)]
    arrays: dict[str, Any] = {
        "schema": np.array(_SCHEMA),
        "space": np.array(bank.space),
        "length": np.array(bank.past[0].length if bank.past else 0),
        "jobs": np.array([job.job for job in bank.past], dtype=str),
        "sources": np.array(sources, dtype=str),
        "cells": np.array(cells, np.int32).reshape(-1, 3),
        "rows": np.concatenate(rows).astype(np.float16) if rows else np.zeros((0, 0), np.float16),
    }
    if bank.basis is not None:
        arrays["basis"] = bank.basis.astype(np.float16)
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack_bank(data: bytes, where: str) -> Bank:
    """The inverse of `pack_bank`. Raises ConfigurationError that begins with `where`."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return _read(arrays)
    except _UNREADABLE as error:
        raise ConfigurationError(f"{where}: not a bank of schema {_SCHEMA}: {error}") from error


def load_banks(paths: Sequence[Path]) -> Mapping[str, Bank]:
    """Bank files by feature space; of two with the same, the later. Raises ConfigurationError."""
    banks = {}
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path}: not readable: {error.strerror}") from error
        bank = unpack_bank(data, str(path))
        banks[bank.space] = bank
    return banks


def _read(arrays: Mapping[str, Any]) -> Bank:
    if (schema := int(arrays["schema"])) != _SCHEMA:
        raise ValueError(f"its schema is {schema}")
    jobs, sources, length = arrays["jobs"].tolist(), arrays["sources"].tolist(), int(arrays["length"])
    rows: Any = arrays["rows"]
    basis = arrays["basis"].astype(np.float64) if "basis" in arrays else None
    cells = arrays["cells"].tolist()
    if rows.dtype != np.float16 or not np.isfinite(rows).all() or len(rows) != sum(count for _, _, count in cells):
        raise ValueError("its rows are not what its cells say")
    if len(rows) and rows.shape[1] != (length if basis is None else basis.shape[1]):
        raise ValueError("its rows are not as long as its basis says")
    images: list[dict[str, Any]] = [{} for _ in jobs]
    start = 0
    for job, source, count in cells:
        images[job][sources[source]] = rows[start : start + count]
        start += count
    past = tuple(PastJob(job, each, length) for job, each in zip(jobs, images, strict=True))
    return Bank(str(arrays["space"]), past, basis)
