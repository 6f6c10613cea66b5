"""The basis: few directions on which residuals are projected to be kept, found once from the first past jobs.

A bank keeps some hundreds of jobs of dozens of sources; projected, 50 sources take 20 MB, and whole they would take
some hundreds. A bank has one basis: what was projected on one cannot be compared with what was projected on another.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

import numpy as np

from attribution.bank.past_job import PastJob
from attribution.bank.stack import Floats

FEWEST_JOBS_OF_BASIS: Final = 30  # whole ones, of which a basis is made
DIMENSIONS: Final = 160  # at most; a model of a job's sources uses 150 of them
_MOST_ROWS = 1_000  # chosen at random, always the same; more take half a minute and move the directions little


def make_basis(past: Sequence[PastJob]) -> Floats:
    """(D, d): the directions in which the residuals of whole past jobs vary most.

    Its numbers are rounded to float16, as it is stored: queries and past jobs are then projected alike everywhere.
    """
    rows = np.concatenate([images for job in past for images in job.images.values()])
    rows = rows[np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]].astype(np.float64)
    powers, mixes = np.linalg.eigh(rows @ rows.T)
    kept = powers[-DIMENSIONS:] > 1e-9 * powers[-1]
    directions = rows.T @ mixes[:, -DIMENSIONS:][:, kept][:, ::-1]
    return _signed(directions / np.linalg.norm(directions, axis=0)).astype(np.float16).astype(np.float64)


def basis_version(basis: Floats) -> str:
    """A hash of it."""
    return f"sha256:{sha256(basis.astype(np.float16).tobytes()).hexdigest()[:16]}"


def projected(job: PastJob, basis: Floats) -> PastJob:
    """A whole past job on a basis."""
    rows = np.concatenate(list(job.images.values())).astype(np.float32) @ basis.astype(np.float32)
    parts = np.split(rows.astype(np.float16), np.cumsum([len(each) for each in job.images.values()])[:-1])
    return replace(job, images=dict(zip(job.images, parts, strict=True)))


def moved(job: PastJob, basis: Floats | None, to: Floats) -> PastJob:
    """A past job from its basis to another one; what lies in one and not in the other is lost."""
    if basis is None:
        return projected(job, to)
    return job if np.array_equal(basis, to) else projected(job, basis.T @ to)


def whole(job: PastJob, basis: Floats) -> PastJob:
    """A past job as if it had not been projected; what the basis does not contain is lost."""
    return projected(job, basis.T)


def _signed(directions: Floats) -> Floats:
    """(D, d): each with its greatest number positive, as a decomposition finds a direction or its opposite."""
    greatest = np.abs(directions).argmax(axis=0)
    signed: Floats = directions * np.sign(directions[greatest, np.arange(directions.shape[1])])
    return signed
