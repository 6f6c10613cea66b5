"""What an installation offers jobs to choose from by name: captioners, embedders."""

import re
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from attribution.errors import ConfigurationError

# How a job calls what it chooses.
NAME_PATTERN = r"^[a-z0-9][a-z0-9+._-]{0,63}$"


class Specified(Protocol):
    """A specification that was read."""

    @property
    def kind(self) -> str:
        """What it is called if it is the default."""
        ...


T = TypeVar("T", bound=Specified)


def offered(what: str, parse: Callable[[str], T], usual: str, others: Mapping[str, str]) -> dict[str, T]:
    """The specifications by the names that jobs give; the first, called by its kind, is the default.

    `what` they are stands in the sentence of the ConfigurationError that is raised for a wrong name.
    """
    first = parse(usual)
    for name in others:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigurationError(f"{name!r} is no name for {what}: small letters, digits, +, ., _ and -.")
        if name == first.kind:
            raise ConfigurationError(f"The default is called {name} already; call {what} of your own differently.")
    return {first.kind: first, **{name: parse(text) for name, text in others.items()}}
