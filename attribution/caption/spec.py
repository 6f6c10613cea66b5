"""What a captioner is, as text: KIND, KIND:WHICH, or KIND:WHICH?option=value&option=value.

Light, so that the API can say what it offers; `attribution.build` makes captioners of these. A kind by itself stands
for the small model that ships with the project.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from attribution.errors import ConfigurationError

# Where the small models lie, by the kinds that have one.
SHIPPED: Mapping[str, str] = {"blip": "zoo/models/captioner"}
KINDS = (*SHIPPED, "fake")
# How a job calls a captioner.
NAME_PATTERN = r"^[a-z0-9][a-z0-9+._-]{0,63}$"


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification that was read: `which` is a directory, a hub id or whatever the kind asks for."""

    text: str
    kind: str
    which: str
    options: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> Spec:
    """Raises ConfigurationError where the text is none."""
    kind, colon, rest = text.partition(":")
    if kind not in KINDS:
        raise ConfigurationError(f"There is no captioner {kind!r}; there are {', '.join(KINDS)}.")
    if kind == "fake":
        return Spec(text, kind, rest)
    if not colon and kind not in SHIPPED:
        raise ConfigurationError(f"{text!r} names no captioner: expected KIND:WHICH, such as blip:DIRECTORY.")
    which, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        raise ConfigurationError(f"{text!r}: {kind} knows no option {name!r}.")
    return Spec(text, kind, which if colon else SHIPPED[kind], options)


def offered(usual: str, others: Mapping[str, str]) -> dict[str, Spec]:
    """The captioners of an installation by the names that jobs give; the first, called by its kind, is the usual one.

    Raises ConfigurationError.
    """
    first = parse(usual)
    for name in others:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigurationError(f"{name!r} is no name for a captioner: small letters, digits, +, ., _ and -.")
        if name == first.kind:
            raise ConfigurationError(f"The usual captioner is called {name} already; call the other one differently.")
    return {first.kind: first, **{name: parse(text) for name, text in others.items()}}
