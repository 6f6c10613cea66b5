"""The mean of several distances, each as z-scores over all generated images of one job.

Z-scores, because distances have no common scale: 1 − cos of CLIP features varies by hundredths where 1 − SSIM varies by
tenths. So the values compare only the generated images of one job; their mean is 0. Ranks, which have no scale either,
tied the two nearest of three real sources in a fifth of all queries at γ = 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attribution.distance.features import PAIRWISE
from attribution.distance.pixels import PIXELWISE
from attribution.fuse import z_scores
from attribution.ports import Distance, DistanceName, Distances, Embedded, PixelDistance


@dataclass(frozen=True)
class Hybrid:
    """A named mean of the z-scores of `parts`."""

    name: DistanceName
    parts: Sequence[Distance]

    @property
    def on_pixels(self) -> Sequence[PixelDistance]:
        """The pixel distances of its parts."""
        return [each for part in self.parts for each in part.on_pixels]

    def among(self, embedded: Embedded) -> Mapping[str, Distances]:
        """Per source, the (γ,) mean z-scores of its generated images."""
        by_part = [part.among(embedded) for part in self.parts]
        sources = list(embedded.generated_images)
        if not sources:
            return {}
        rows = mean_z([np.concatenate([each[source] for source in sources]) for each in by_part])
        ends = np.cumsum([len(embedded.generated_images[source]) for source in sources])
        return dict(zip(sources, np.split(rows, ends[:-1]), strict=True))


def mean_z(distances: Sequence[Distances]) -> Distances:
    """The mean (…, n) of the z-scores of several (…, n) distances."""
    means: Distances = np.mean([z_scores(each) for each in distances], axis=0)
    return means


HYBRIDS: Mapping[str, Hybrid] = {
    DistanceName.HYBRID: Hybrid(DistanceName.HYBRID, (PAIRWISE[DistanceName.COSINE], PIXELWISE[DistanceName.SSIM]))
}
