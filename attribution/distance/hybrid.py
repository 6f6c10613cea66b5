"""Several distances in one: how far a generated image is by each of them beside all generated images of its job, on average.

In standard deviations, because distances have no common scale: 1 − cos of CLIP features moves by hundredths where
1 − SSIM moves by tenths. So its values compare the generated images of one job and nothing beyond it; their mean is 0. Ranks,
which have no scale either, tied the two nearest of three real sources in a fifth of all queries at γ = 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attribution.fuse import z_scores
from attribution.ports import Distance, DistanceName, Distances, Embedded, PixelDistance


@dataclass(frozen=True)
class Hybrid:
    """A named mean of the z-scores by `parts`."""

    name: DistanceName
    parts: Sequence[Distance]

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """Those of its parts."""
        return [each for part in self.parts for each in part.on_pixels]

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) means of its generated images' z-scores among the job's generated images."""
        apart = [part.among(embedded) for part in self.parts]
        sources = list(embedded.generated_images)
        if not sources:
            return {}
        rows = mean_z([np.concatenate([each[source] for source in sources]) for each in apart])
        ends = np.cumsum([len(embedded.generated_images[source]) for source in sources])
        return dict(zip(sources, np.split(rows, ends[:-1]), strict=True))


def mean_z(distances: Sequence[Distances]) -> Distances:
    """(…, n) mean over several (…, n) of their z-scores."""
    means: Distances = np.mean([z_scores(each) for each in distances], axis=0)
    return means
