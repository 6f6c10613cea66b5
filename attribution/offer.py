"""The captioners and embedders that an installation offers to jobs by name."""

import re
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from attribution.errors import ConfigurationError

# The names that jobs give.
NAME_PATTERN = r"^[a-z0-9][a-z0-9+._-]{0,63}$"


class Specified(Protocol):
    """A parsed specification."""

    @property
    def kind(self) -> str:
        """Its name if it is the default."""
        ...


T = TypeVar("T", bound=Specified)


def offered(what: str, parse: Callable[[str], T], default: str, others: Mapping[str, str]) -> dict[str, T]:
    """The specifications by the names that jobs give. The first is the default; its name is its kind.

    Args:
        what: "a captioner" or "an embedder", for the sentence of an error.
        parse: Reads a specification.
        default: The specification of the default.
        others: Further specifications by name.

    Raises:
        ConfigurationError: A specification or a name is wrong.
    """
    first = parse(default)
    for name in others:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigurationError(
                f"{name!r} cannot be the name of {what}: use small letters, digits, +, ., _ and -."
            )
        if name == first.kind:
            raise ConfigurationError(f"The default is called {name} already; give {what} another name.")
    return {first.kind: first, **{name: parse(text) for name, text in others.items()}}
