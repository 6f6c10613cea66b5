"""What an adapter would say to a source's file if it were built from it: mistakes, and what is still to be done.

Nothing is loaded, no vendor is called.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from attribution.build import Placement, build_generator, locate_weights
from attribution.catalog import Source
from attribution.errors import AttributionError, ConfigurationError, SourceUnavailable
from attribution.sources.finding import CheckFinding, Severity


@runtime_checkable
class Keyed(Protocol):
    """A generator that needs a key of the operator's."""

    def check_key(self) -> None:
        """Raises SourceUnavailable where there is none, without asking anybody."""
        ...


def examine(source: Source) -> Iterator[CheckFinding]:
    """A mistake is an error; what is only needed before the source can be asked is a note until it may be."""
    unready = Severity.ERROR if source.nameable else Severity.NOTE
    if source.adapter == "diffusers":
        try:
            locate_weights(source)
        except AttributionError as error:
            yield CheckFinding(unready, source.file, "revision", _without_id(source, error))
        return
    try:
        generator = build_generator(source, Placement())
        if isinstance(generator, Keyed):
            generator.check_key()
    except ConfigurationError as error:
        yield CheckFinding(Severity.ERROR, source.file, "", _without_id(source, error))
    except SourceUnavailable as error:
        yield CheckFinding(unready, source.file, "parameters.key", str(error))


def _without_id(source: Source, error: AttributionError) -> str:
    return str(error).removeprefix(f"{source.id}: ")
