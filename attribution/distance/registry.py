"""The distances there are. Adding one is adding a module and a line here."""

from collections.abc import Mapping

from attribution.distance.cosine import Cosine
from attribution.errors import ConfigurationError
from attribution.ports import Distance

DISTANCES: Mapping[str, Distance] = {distance.name: distance for distance in (Cosine(),)}


def distance_named(name: str) -> Distance:
    """The distance of that name. Raises ConfigurationError naming those there are."""
    if name not in DISTANCES:
        raise ConfigurationError(f"There is no distance called {name!r}; there are {', '.join(DISTANCES)}.")
    return DISTANCES[name]
