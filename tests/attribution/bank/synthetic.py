"""Past jobs without images: each source has a signature in the features, each job a content, each image noise."""

from collections.abc import Mapping, Sequence

import numpy as np

from attribution.bank import PastJob, past_job
from attribution.ports import Taps
from attribution.residual import residuals

LAYOUT = {"block1": 24, "lbp": 6}
LENGTH = sum(LAYOUT.values())


def signature(name: str) -> np.ndarray:
    """(30,): what distinguishes the images of a source; of "b2" that of "b", as its copy."""
    return np.random.default_rng(ord(name[0])).normal(size=LENGTH)


def synthetic_taps(
    seed: int, sources: Sequence[str], by: str, images: int | Mapping[str, int] = 4, noise: float = 1.0
) -> Taps:
    """One job, and a query `by` a source that need not be among its sources."""
    random = np.random.default_rng(seed)
    content = 10 * random.normal(size=LENGTH)

    def generated(source: str, count: int) -> np.ndarray:
        rows = content + signature(source) + noise * random.normal(size=(count, LENGTH))
        return rows.astype(np.float32)

    counts = dict.fromkeys(sources, images) if isinstance(images, int) else images
    rows = {source: generated(source, counts[source]) for source in sources}
    return Taps(LAYOUT, generated(by, 1)[0], rows)


def synthetic_past(
    count: int, sources: Sequence[str], images: int | Mapping[str, int] = 4, noise: float = 1.0, first: int = 1000
) -> tuple[PastJob, ...]:
    """So many past jobs of these sources, all of revision 1."""
    taps = [synthetic_taps(first + n, sources, sources[0], images, noise) for n in range(count)]
    revisions = dict.fromkeys(sources, "1")
    return tuple(past_job(f"{first + n}", residuals(each), revisions) for n, each in enumerate(taps))
