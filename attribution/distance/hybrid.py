"""Several distances in one: where a drawing stands among all drawings of its job by each of them, on average.

Ranks, because distances have no common scale: 1 − cos of CLIP features moves by hundredths where 1 − SSIM moves by
tenths. So its values compare the drawings of one job and nothing beyond it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attribution.distance.pairwise import Floats
from attribution.ports import Distance, DistanceName, Distances, Embedded, PixelDistance


@dataclass(frozen=True)
class Hybrid:
    """A named mean of the ranks by `parts`."""

    name: DistanceName
    parts: Sequence[Distance]

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """Those of its parts."""
        return [each for part in self.parts for each in part.on_pixels]

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) mean shares of the job's drawings that are nearer, a tie counting half: 0 to 1."""
        apart = [part.among(embedded) for part in self.parts]
        sources = list(embedded.drawings)
        if not sources:
            return {}
        rows = mean_rank([np.concatenate([each[source] for source in sources]) for each in apart])
        ends = np.cumsum([len(embedded.drawings[source]) for source in sources])
        return dict(zip(sources, np.split(rows.astype(np.float64), ends[:-1]), strict=True))


def mean_rank(distances: Sequence[Floats]) -> Floats:
    """(…, n) mean over several (…, n) of the share of the other n − 1 that are smaller, a tie counting half."""
    ranks: Floats = np.mean([_rank(each) for each in distances], axis=0)
    return ranks


def _rank(distances: Floats) -> Floats:
    n = distances.shape[-1]
    own, other = distances[..., :, None], distances[..., None, :]
    ranks: Floats = ((other < own).sum(axis=-1) + ((other == own).sum(axis=-1) - 1) / 2) / max(1, n - 1)
    return ranks
