"""All distances by name. To add one: a constant in its module, its name in `attribution/ports.py`, an entry here."""

from collections.abc import Mapping

from attribution.distance.features import PAIRWISE
from attribution.distance.hybrid import HYBRIDS
from attribution.distance.pixels import PIXELWISE
from attribution.errors import ConfigurationError
from attribution.ports import Distance

DISTANCES: Mapping[str, Distance] = {**PAIRWISE, **PIXELWISE, **HYBRIDS}


def distance_named(name: str) -> Distance:
    """The distance of that name. Raises ConfigurationError that lists the known names."""
    if name not in DISTANCES:
        raise ConfigurationError(f"There is no distance called {name!r}; there are {', '.join(DISTANCES)}.")
    return DISTANCES[name]
