"""Drift: whether a source generates otherwise than it did, e.g. as a vendor replaced its model under the same name."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from attribution.bank.past_job import PastJob
from attribution.bank.stack import Floats

RECENT_JOBS: Final = 10
_FEWEST_EARLIER = 10


def drift(past: Sequence[PastJob]) -> Mapping[str, float]:
    """How far the mean residual of each source's last 10 jobs is from that of its earlier ones, by "id@revision".

    The square of the distance, divided by what chance makes of it: about 1 where nothing changed. Sources with fewer
    than 20 jobs are left out. `past` is oldest first.
    """
    means: dict[str, list[Floats]] = {}
    for job in past:
        for source, rows in job.images.items():
            means.setdefault(source, []).append(rows.astype(np.float64).mean(axis=0))
    return {
        source: _ratio(np.stack(each[:-RECENT_JOBS]), np.stack(each[-RECENT_JOBS:]))
        for source, each in sorted(means.items())
        if len(each) >= RECENT_JOBS + _FEWEST_EARLIER
    }


def _ratio(earlier: Floats, recent: Floats) -> float:
    apart = ((recent.mean(axis=0) - earlier.mean(axis=0)) ** 2).sum()
    spread = earlier.var(axis=0, ddof=1).sum() * (1 / len(earlier) + 1 / len(recent))
    return float(apart / spread) if spread > 0 else 1.0
