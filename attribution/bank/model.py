"""What past jobs teach about sources: a two-covariance model of residuals, in few dimensions.

The residual of an image has three parts: the mean μ_j of its source, what the content changes about that (covariance
A − W/γ), and what differs from image to image (covariance W). Given the job's own mean residual e_j, a query by source
j is expected at t_j = μ_j + k (e_j − μ_j), with covariance C = W + (1 − k)(A − W/γ). Its log-likelihood is the score of
the source. PLDA, the field's model for speakers, is a relative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from attribution.bank.past_job import PastJob

Floats = NDArray[np.float64]

DIRECTIONS = 150
_PRIOR_JOBS = 2.0  # a source's mean counts as if so many jobs more had seen it at 0
_YOUNG = 10  # jobs; below, covariances are shrunk more
_SPHERE_YOUNG, _SPHERE = 1.0, 0.3  # how strongly, in units of the number of dimensions


@dataclass(frozen=True)
class BankModel:
    """The model for one list of sources.

    Attributes:
        sources: "id@revision", in the order of all arrays.
        jobs: How many past jobs of each source there are, (S,).
        directions: (D, r) orthonormal: residuals are projected on them.
        means: (S, r), μ_j.
        within: (r, r), W.
        between: (r, r), A.
        images: The mean number of images per source in the past jobs.
        count: How many past jobs were used.
        length: D of the residuals as they were computed, before any reduction.
    """

    sources: tuple[str, ...]
    jobs: NDArray[np.intp]
    directions: Floats
    means: Floats
    within: Floats
    between: Floats
    images: float
    count: int
    length: int

    def scores(self, queries: Floats, means: Floats, images: float) -> Floats:
        """(n, S) log-likelihoods of (n, D) residuals of queries, up to a constant.

        Args:
            queries: a, one per row.
            means: e_j, (n, S, D) or (S, D) where all queries are of one job.
            images: γ, of which e_j are the means.
        """
        return self.reduced_scores(queries @ self.directions, means @ self.directions, images)

    def reduced_scores(self, queries: Floats, means: Floats, images: float) -> Floats:
        """The same for residuals that are projected already."""
        share = self.share(images)
        whitening = self._whitening(share)
        expected = (self.means + share * (means - self.means)) @ whitening
        apart = (queries @ whitening)[..., None, :] - expected
        scores: Floats = -0.5 * (apart**2).sum(axis=-1)
        return scores

    def share(self, images: float) -> float:
        """K: how much of what is new in the job's own mean residual is believed."""
        return share_of_own_mean(self.count, images)

    def _whitening(self, share: float) -> Floats:
        """(r, r): its product with a residual has unit covariance."""
        cached = self._whitenings.get(share)
        if cached is None:
            covariance = self.within + (1 - share) * (self.between - self.within / self.images)
            freedom = self.count * (len(self.sources) - 1)
            sphere = (_SPHERE_YOUNG if self.count < _YOUNG else _SPHERE) * min(self.length, 4 * len(covariance))
            level = max(np.trace(covariance) / self.length, 1e-12)
            shrunk = (freedom * covariance + sphere * level * np.eye(len(covariance))) / (freedom + sphere)
            cached = self._whitenings[share] = np.linalg.inv(np.linalg.cholesky(shrunk)).T
        return cached

    @cached_property
    def _whitenings(self) -> dict[float, Floats]:
        return {}


def share_of_own_mean(jobs: int, images: float) -> float:
    """K for a bank of so many jobs and γ images: from 1/2 without experience towards 0."""
    variance = 0.03 + 2.5 / max(jobs, 1)
    return min(0.5, images * variance / (1 + images * variance))


def fit(past: Sequence[PastJob], sources: Sequence[str]) -> BankModel | None:
    """The model of these sources from the past jobs that had at least two of them; None where no job had."""
    cells = [job.only(sources) for job in past]
    cells = [job for job in cells if len(job.images) > 1]
    if not cells:
        return None
    place = {source: at for at, source in enumerate(sources)}
    rows = np.concatenate([images for job in cells for images in job.images.values()]).astype(np.float64)
    directions = _directions(rows)
    reduced = rows @ directions
    # Where each (job, source) begins among the rows.
    lengths = [len(images) for job in cells for images in job.images.values()]
    starts = [0, *accumulate(lengths)][:-1]
    counts = np.array(lengths, float)
    means = np.add.reduceat(reduced, starts, axis=0) / counts[:, None]  # (cells, r)
    of_job = np.repeat(np.arange(len(cells)), [len(job.images) for job in cells])
    of_source = np.array([place[source] for job in cells for source in job.images])

    spread = reduced - np.repeat(means, lengths, axis=0)
    freedom = float((counts - 1).sum())
    raw, shrunk = _source_means(means, of_job, of_source, len(sources))
    apart = means - raw[of_source]
    apart -= _by_job(apart, of_job)[of_job]
    between = apart.T @ apart / max(len(means) - len(cells) - (len(set(of_source)) - 1), 1)
    within = spread.T @ spread / freedom if freedom else 0.6 * between
    return BankModel(
        sources=tuple(sources),
        jobs=np.bincount(of_source, minlength=len(sources)),
        directions=directions,
        means=shrunk,
        within=within,
        between=between,
        images=float(counts.mean()),
        count=len(cells),
        length=cells[0].length,
    )


def _directions(rows: Floats) -> Floats:
    """(D, r): the directions in which residuals vary most, at most 150."""
    count = min(DIRECTIONS, *rows.shape)
    if rows.shape[1] <= rows.shape[0]:
        return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :count]
    values, vectors = np.linalg.eigh(rows @ rows.T)
    kept = values[::-1][:count] > 1e-9 * values[-1]
    found = rows.T @ vectors[:, ::-1][:, :count][:, kept]
    directions: Floats = found / np.linalg.norm(found, axis=0)
    return directions


def _by_job(values: Floats, of_job: NDArray[np.intp]) -> Floats:
    """(jobs, r) means of (cells, r)."""
    sums = np.zeros((of_job[-1] + 1, values.shape[1]))
    np.add.at(sums, of_job, values)
    means: Floats = sums / np.bincount(of_job)[:, None]
    return means


def _source_means(
    means: Floats, of_job: NDArray[np.intp], of_source: NDArray[np.intp], count: int
) -> tuple[Floats, Floats]:
    """(S, r) means of the sources by least squares with an effect of every job, plain and shrunk towards 0.

    Jobs need not have the same sources: a job compares only those that it has.
    """
    there = np.zeros((of_job[-1] + 1, count))
    there[of_job, of_source] = 1
    normal = np.diag(there.sum(axis=0)) - (there / there.sum(axis=1, keepdims=True)).T @ there
    right = np.zeros((count, means.shape[1]))
    np.add.at(right, of_source, means - _by_job(means, of_job)[of_job])
    raw = np.linalg.pinv(normal, hermitian=True) @ right
    return raw, np.linalg.solve(normal + _PRIOR_JOBS * np.eye(count), right)
