"""What past jobs teach about sources: a two-covariance model of residuals, in few dimensions.

The residual of an image has three parts: the mean μ_j of its source, what the content changes about that (covariance
A − W/γ), and what differs from image to image (covariance W). Given the job's own mean residual e_j, an image by source
j is expected at t_j = μ_j + k (e_j − μ_j), with covariance C = W + (1 − k)(A − W/γ). Its log-likelihood is the score of
the source. PLDA, the field's model for speakers, is a relative.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.bank.stack import Floats, JobStack

DIRECTIONS = 150
_PRIOR_JOBS = 2.0  # a source's mean counts as if so many jobs more had seen it at 0
_YOUNG = 10  # jobs; below, covariances are shrunk more
_SPHERE_YOUNG, _SPHERE = 1.0, 0.3  # how strongly, in units of the number of dimensions
_MOST_ROWS = 3_000  # of which the directions are found; more take seconds and move them little


@dataclass(frozen=True)
class BankModel:
    """The model for one list of sources.

    Attributes:
        sources: "id@revision", in the order of all arrays.
        means: (S, r), μ_j.
        within: (r, r), W.
        between: (r, r), A.
        images: γ of the past jobs; the harmonic mean where numbers of images differ.
        count: How many past jobs were used.
        length: D of the residuals as they were computed, before any reduction.
    """

    sources: tuple[str, ...]
    means: Floats
    within: Floats
    between: Floats
    images: float
    count: int
    length: int

    def scores(self, queries: Floats, means: Floats, images: float | NDArray[np.intp]) -> Floats:
        """(…, A, S) log-likelihoods of the residuals a of queries, up to a constant.

        Args:
            queries: (…, A, r), A of each job.
            means: (…, S, r), e_j of the same jobs.
            images: γ, of which e_j are the means; or (…, S), how many each source has. The constant is then that of
                one image, so that numbers may differ between sources and between jobs.
        """
        if not isinstance(images, np.ndarray):
            return self._equal_scores(queries, means, images)
        scores = np.empty((*queries.shape[:-1], means.shape[-2]))
        for count in np.unique(images):
            constant = self._log_determinant(count) - self._log_determinant(1)
            these = self._equal_scores(queries, means, count) - 0.5 * constant
            np.copyto(scores, these, where=(images == count)[..., None, :])
        return scores

    def _equal_scores(self, queries: Floats, means: Floats, images: float) -> Floats:
        share = share_of_own_mean(self.count, images)
        whitening = self._whitening(share)
        expected = (self.means + share * (means - self.means)) @ whitening  # (…, S, r)
        asked = queries @ whitening  # (…, A, r)
        lengths = (asked**2).sum(-1)[..., :, None] + (expected**2).sum(-1)[..., None, :]
        scores: Floats = asked @ np.swapaxes(expected, -1, -2) - 0.5 * lengths
        return scores

    def _log_determinant(self, images: float) -> float:
        """Of the covariance C with so many images."""
        return float(-2 * np.log(np.diag(self._whitening(share_of_own_mean(self.count, images)))).sum())

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
    """k, how much of what is new in a job's own mean residual is believed: from 1/2 without experience towards 0.

    Args:
        jobs: How many past jobs there are.
        images: γ of the job.
    """
    variance = 0.03 + 2.5 / max(jobs, 1)
    return min(0.5, images * variance / (1 + images * variance))


def directions(stack: JobStack) -> Floats:
    """(r, r'): the directions in which the residuals of these sources vary most, at most 150."""
    part = stack.comparing()
    rows = part.images[part.valid]
    rows = rows[:: -(-len(rows) // _MOST_ROWS)]
    count = min(DIRECTIONS, *rows.shape)
    if rows.shape[1] <= rows.shape[0]:
        return np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :count]
    powers, mixes = np.linalg.eigh(rows @ rows.T)
    kept = powers[::-1][:count] > 1e-9 * powers[-1]
    found = rows.T @ mixes[:, ::-1][:, :count][:, kept]
    unit: Floats = found / np.linalg.norm(found, axis=0)
    return unit


def fit(stack: JobStack, length: int) -> BankModel | None:
    """The model of the stack's sources, from the jobs that have at least two; None where none has.

    Args:
        stack: Past jobs.
        length: D of the residuals as they were computed.
    """
    part = stack.comparing()
    if not len(part):
        return None
    there, means = part.there, part.means
    raw, shrunk = _source_means(part)
    spread = (part.images - means[:, :, None])[part.valid]
    apart = means - raw
    apart = (apart - _over_sources(apart, there)[:, None])[there]
    freedom = float((part.counts - 1)[there].sum())
    between = apart.T @ apart / max(there.sum() - len(part) - (there.any(axis=0).sum() - 1), 1)
    return BankModel(
        sources=part.sources,
        means=shrunk,
        within=spread.T @ spread / freedom if freedom else 0.6 * between,
        between=between,
        images=float(1 / (1 / part.counts[there]).mean()),
        count=len(part),
        length=length,
    )


def _over_sources(values: Floats, there: NDArray[Any]) -> Floats:
    """(n, r) means of (n, S, r) over the sources that a job has."""
    means: Floats = (values * there[..., None]).sum(axis=1) / there.sum(axis=1)[:, None]
    return means


def _source_means(part: JobStack) -> tuple[Floats, Floats]:
    """(S, r) means of the sources by least squares with an effect of every job, plain and shrunk towards 0.

    Jobs need not have the same sources: a job compares only those that it has.
    """
    there = part.there.astype(float)
    normal = np.diag(there.sum(axis=0)) - (there / there.sum(axis=1, keepdims=True)).T @ there
    apart = part.means - _over_sources(part.means, there)[:, None]
    right = (apart * there[..., None]).sum(axis=0)
    raw = np.linalg.pinv(normal, hermitian=True) @ right
    return raw, np.linalg.solve(normal + _PRIOR_JOBS * np.eye(len(normal)), right)
