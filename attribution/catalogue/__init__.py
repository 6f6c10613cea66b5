"""The candidate sources that an installation knows, read from `sources/*.toml`. Data only: no adapter, no torch."""

from attribution.catalogue.catalogue import Catalogue
from attribution.catalogue.reading import files_of, load_catalogue, read_source
from attribution.catalogue.source import (
    DEFAULT_TIMEOUT_SECONDS,
    LOCAL,
    NO_ADAPTER,
    Lifecycle,
    LifecycleState,
    Limits,
    Parameter,
    SeedSupport,
    Source,
)

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "LOCAL",
    "NO_ADAPTER",
    "Catalogue",
    "Lifecycle",
    "LifecycleState",
    "Limits",
    "Parameter",
    "SeedSupport",
    "Source",
    "files_of",
    "load_catalogue",
    "read_source",
]
