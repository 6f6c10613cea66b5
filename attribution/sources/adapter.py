"""What an adapter would say to a source's file if it were built from it: mistakes, and what is still to be done.

Nothing is loaded, no vendor is called.
"""

from collections.abc import Iterator

from attribution.build import Placement, build_generator, locate_weights
from attribution.catalogue import Source
from attribution.errors import AttributionError, ConfigurationError
from attribution.sources.finding import Finding, Severity


def examine(source: Source) -> Iterator[Finding]:
    """A mistake is an error; what is only needed before the source can be enabled is a note until it is."""
    unready = Severity.ERROR if source.enabled else Severity.NOTE
    if source.adapter == "diffusers":
        try:
            locate_weights(source)
        except AttributionError as error:
            yield Finding(unready, source.file, "revision", _without_id(source, error))
        return
    try:
        build_generator(source, Placement())
    except ConfigurationError as error:
        yield Finding(Severity.ERROR, source.file, "", _without_id(source, error))


def _without_id(source: Source, error: AttributionError) -> str:
    return str(error).removeprefix(f"{source.id}: ")
