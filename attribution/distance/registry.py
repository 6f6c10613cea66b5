"""The distances there are. Adding one is adding a module and a line here."""

from collections.abc import Mapping

from attribution.distance.correlation import correlation
from attribution.distance.cosine import cosine
from attribution.distance.euclidean import euclidean
from attribution.distance.manhattan import manhattan
from attribution.distance.pairwise import Pairwise
from attribution.errors import ConfigurationError
from attribution.ports import Distance

# The four that arXiv 2510.24278 offers, by its names and by SciPy's definitions.
PAIRWISE: Mapping[str, Pairwise] = {
    "cosine": Pairwise("cosine", cosine),
    "euclidean": Pairwise("euclidean", euclidean),
    "manhattan": Pairwise("manhattan", manhattan),
    "correlation": Pairwise("correlation", correlation),
}
DISTANCES: Mapping[str, Distance] = dict(PAIRWISE)


def distance_named(name: str) -> Distance:
    """The distance of that name. Raises ConfigurationError naming those there are."""
    if name not in DISTANCES:
        raise ConfigurationError(f"There is no distance called {name!r}; there are {', '.join(DISTANCES)}.")
    return DISTANCES[name]
