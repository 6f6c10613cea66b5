"""Residuals: what remains of features when that which all sources' resyntheses share, the content, is subtracted.

    c_j = mean of source j's images,  m = mean of c_j over the sources,  a = query − m,  e_j = c_j − m

Each tap is divided by the root mean square of the job's own residuals and by the root of its length, so that all taps
count alike; then they are concatenated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.forensics import FORENSIC_TAPS
from attribution.ports import Taps, Vectors

_PRIOR_IMAGES = 8  # a variance counts as if so many images more had the mean one
_SHARE = 0.7  # k: how much of a source's mean residual is expected in the query


@dataclass(frozen=True, slots=True)
class Residuals:
    """One job's residuals: `query` (D,), and (γ, D) of each source's images, with the lengths of the taps."""

    layout: Mapping[str, int]
    query: Vectors
    generated_images: Mapping[str, Vectors]

    def means(self, sources: Sequence[str]) -> Vectors:
        """(S, D) mean residuals e_j; over all sources they sum to 0."""
        return np.stack([self.generated_images[source].mean(axis=0) for source in sources])


def residuals(taps: Taps) -> Residuals:
    """The scaled residuals of one job."""
    images = {source: rows.astype(np.float32) for source, rows in taps.generated_images.items()}
    content = np.mean([rows.mean(axis=0) for rows in images.values()], axis=0)  # (D,)
    scale = _scale(np.concatenate([rows - content for rows in images.values()]), taps.layout)
    return Residuals(
        taps.layout,
        ((taps.query - content) * scale).astype(np.float32),
        {source: ((rows - content) * scale).astype(np.float32) for source, rows in images.items()},
    )


def scores_without_bank(found: Residuals, sources: Sequence[str]) -> NDArray[np.float64]:
    """(S,) scores −‖(a − k e_j) / σ‖², from this job alone; the greatest is the likeliest.

    σ² is how much each number varies among the images of one source, shrunk towards the mean over all numbers. With one
    image per source that is unknown: then σ is 1, and forensic features, which vary most, are left out.
    """
    means = found.means(sources).astype(np.float64)
    images = [found.generated_images[source].astype(np.float64) for source in sources]
    apart = np.concatenate([rows - mean for rows, mean in zip(images, means, strict=True)])
    freedom = len(apart) - len(images)
    if freedom:
        own = (apart**2).sum(axis=0)
        weights = 1 / np.maximum((own + _PRIOR_IMAGES * own.mean() / freedom) / (freedom + _PRIOR_IMAGES), 1e-12)
    else:
        weights = np.repeat([float(name not in FORENSIC_TAPS) for name in found.layout], list(found.layout.values()))
    scores: NDArray[np.float64] = -((found.query - _SHARE * means) ** 2 * weights).sum(axis=1)
    return scores


def _scale(images: Vectors, layout: Mapping[str, int]) -> Vectors:
    """(D,) what each number is multiplied by; 0 for a tap that is the same in all images."""
    factors = []
    start = 0
    for length in layout.values():
        power = float((images[:, start : start + length].astype(np.float64) ** 2).mean())
        factors.append(np.full(length, 0.0 if power == 0 else 1 / np.sqrt(power * length), np.float32))
        start += length
    return np.concatenate(factors)
