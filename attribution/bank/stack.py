"""Past jobs as arrays: what fitting and simulating compute with.

Names of axes: n jobs, S sources, G images, r numbers of a residual. A job need not have all sources, nor a source as
many images as another one: `counts` says how many there are, and the rest of `images` is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.bank.past_job import PastJob

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JobStack:
    """(n, S, G, r) residuals of the images, (n, S) counts; residuals of a job need not have the mean 0."""

    sources: tuple[str, ...]
    images: Floats
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, past: Sequence[PastJob], sources: Sequence[str]) -> "JobStack":
        """The jobs that have at least two of the sources."""
        wanted = set(sources)
        jobs = [job for job in past if len(wanted & job.images.keys()) > 1]
        parts = [
            (n, s, job.images[source])
            for n, job in enumerate(jobs)
            for s, source in enumerate(sources)
            if source in job.images
        ]
        most, width = max((rows.shape for _, _, rows in parts), default=(0, 0))
        images = np.zeros((len(jobs), len(sources), most, width))
        counts = np.zeros((len(jobs), len(sources)), np.intp)
        for n, s, rows in parts:
            images[n, s, : len(rows)] = rows
            counts[n, s] = len(rows)
        return cls(tuple(sources), images, counts)

    def __len__(self) -> int:
        return len(self.images)

    def of_sources(self, sources: Sequence[str]) -> "JobStack":
        """The part with these sources, in this order."""
        places = [self.sources.index(source) for source in sources]
        return JobStack(tuple(sources), self.images[:, places], self.counts[:, places])

    def of_jobs(self, chosen: NDArray[np.bool_]) -> "JobStack":
        """The part with these of the n jobs."""
        return replace(self, images=self.images[chosen], counts=self.counts[chosen])

    def projected(self, directions: Floats) -> "JobStack":
        """On the columns of (r, r') `directions`."""
        return replace(self, images=self.images @ directions)

    def comparing(self) -> "JobStack":
        """The jobs that have at least two of the sources, with the mean over these subtracted."""
        part = self.of_jobs((self.counts > 0).sum(axis=1) > 1)
        content = (part.means * part.there[..., None]).sum(axis=1) / part.there.sum(axis=1)[:, None]
        centered = (part.images - content[:, None, None]) * part.valid[..., None]
        return replace(part, images=centered)

    @property
    def there(self) -> NDArray[np.bool_]:
        """(n, S) which sources the jobs have."""
        return self.counts > 0

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(n, S, G) which images there are."""
        return np.arange(self.images.shape[2]) < self.counts[..., None]

    @property
    def means(self) -> Floats:
        """(n, S, r) means over the images of a source; 0 where there are none."""
        means: Floats = self.images.sum(axis=2) / np.maximum(self.counts, 1)[..., None]
        return means


def softmax(scores: Floats) -> Floats:
    """Along the last axis."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Floats = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares
