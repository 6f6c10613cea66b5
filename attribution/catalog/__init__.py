"""The candidate sources of an installation, read from `sources/*.toml`. Only data: no adapters, no torch."""

from attribution.catalog.catalog import Catalog, files_of, load_catalog, read_source
from attribution.catalog.source import (
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
    "Catalog",
    "Lifecycle",
    "LifecycleState",
    "Limits",
    "Parameter",
    "SeedSupport",
    "Source",
    "files_of",
    "load_catalog",
    "read_source",
]
