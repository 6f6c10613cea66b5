"""The distances there are. Adding one is adding a module, its name among the ports and a line here."""

from collections.abc import Mapping

from attribution.distance.correlation import correlation
from attribution.distance.cosine import cosine
from attribution.distance.euclidean import euclidean
from attribution.distance.hybrid import Hybrid
from attribution.distance.manhattan import manhattan
from attribution.distance.pairwise import Pairwise
from attribution.distance.pixelwise import Pixelwise
from attribution.distance.ssim import ssim
from attribution.errors import ConfigurationError
from attribution.ports import Distance, DistanceName

# On features: the four that arXiv 2510.24278 offers, by its names and by SciPy's definitions.
PAIRWISE: Mapping[str, Pairwise] = {
    each.name: each
    for each in (
        Pairwise(DistanceName.COSINE, cosine),
        Pairwise(DistanceName.EUCLIDEAN, euclidean),
        Pairwise(DistanceName.MANHATTAN, manhattan),
        Pairwise(DistanceName.CORRELATION, correlation),
    )
}
# On pixels.
PIXELWISE: Mapping[str, Pixelwise] = {DistanceName.SSIM: Pixelwise(DistanceName.SSIM, ssim)}
# On both.
HYBRIDS: Mapping[str, Hybrid] = {
    DistanceName.HYBRID: Hybrid(DistanceName.HYBRID, (PAIRWISE[DistanceName.COSINE], PIXELWISE[DistanceName.SSIM]))
}
DISTANCES: Mapping[str, Distance] = {**PAIRWISE, **PIXELWISE, **HYBRIDS}


def distance_named(name: str) -> Distance:
    """The distance of that name. Raises ConfigurationError naming those there are."""
    if name not in DISTANCES:
        raise ConfigurationError(f"There is no distance called {name!r}; there are {', '.join(DISTANCES)}.")
    return DISTANCES[name]
