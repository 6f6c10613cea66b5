"""The specification of a captioner as text: KIND, KIND:WHICH, or KIND:WHICH?option=value&option=value.

It is read without ML wheels, so that the API can list the captioners; `attribution.build` builds them. A kind by
itself, or with options only, stands for the demo model that ships with the project.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, TypeAlias
from urllib.parse import parse_qsl

from pydantic import Field

from attribution import offer
from attribution.errors import ConfigurationError
from attribution.validation import read_options

# The demo models by the kinds that have one.
SHIPPED: Mapping[str, str] = {
    "blip": "zoo/models/captioner",
    "pez": "local-dir:zoo/models/clip",
    "blip+pez": "zoo/models/captioner",
}
LONGEST_TIMEOUT = 240.0  # seconds; a stage of a job has five minutes


_Seconds: TypeAlias = Annotated[float, Field(gt=0, le=LONGEST_TIMEOUT)]


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """How a vision-language model is called.

    `key` names the key, none if empty; `timeout` is seconds for all attempts together; `prompt` is the instruction, in
    which {words} stands for `words`, or `prompt_file` contains it; `temperature` is a number, or empty if the model
    takes none; `external`: images are sent to a third party; `price_usd` is per call, unknown if negative.
    """

    base_url: str
    key: str = "vlm"
    timeout: _Seconds = 60.0
    attempts: Annotated[int, Field(ge=1)] = 3
    prompt: str = (
        "Describe this image in one sentence, as a prompt from which an image generator could generate it again. "
        "Name the subject and its attributes, the composition, the background and the style. "
        "Use {words} words at most, and write nothing but the description."
    )
    prompt_file: str = ""
    words: Annotated[int, Field(ge=1)] = 50
    temperature: str = "0"
    max_tokens: Annotated[int, Field(ge=0)] = 0
    external: bool = True
    price_usd: float = -1.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", self.base_url):
            raise ValueError("base_url must be an http:// or https:// address, such as https://api.openai.com/v1")
        if not re.fullmatch(r"([0-9]+(\.[0-9]+)?)?", self.temperature):
            raise ValueError("temperature must be a number, or empty if the model takes none")
        if self.key and not re.fullmatch(r"[a-z0-9_]+", self.key):
            raise ValueError("key must be the name of a key, in small letters, digits and _, and not the key itself")


@dataclass(frozen=True, slots=True)
class PezOptions:
    """A search for hard prompts: `tokens` words, `steps` steps, and at most `seconds`.

    `rate` and `decay` are AdamW's; `seed` selects the first words.
    """

    steps: Annotated[int, Field(ge=1, le=100_000)] = 300
    tokens: Annotated[int, Field(ge=1, le=1_000)] = 8
    seconds: _Seconds = 30.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    decay: Annotated[float, Field(ge=0, le=1)] = 0.1


@dataclass(frozen=True, slots=True)
class RefineOptions(PezOptions):
    """The same search, started from another captioner's words, with small steps that change few of them.

    `clip` is an open_clip name, as for embedders; the number of words is that of the caption.
    """

    steps: Annotated[int, Field(ge=1, le=100_000)] = 60
    rate: Annotated[float, Field(gt=0, le=10)] = 0.001
    decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip: str = "local-dir:zoo/models/clip"


Options: TypeAlias = VlmOptions | PezOptions
_OPTIONS: Mapping[str, type[Options] | None] = {
    "blip": None,
    "vlm": VlmOptions,
    "pez": PezOptions,
    "blip+pez": RefineOptions,
    "fake": None,
}
KINDS = tuple(_OPTIONS)


@dataclass(frozen=True, slots=True)
class CaptionerSpec:
    """A parsed specification: `which` is a directory, a hub id, or what else the kind needs."""

    text: str
    kind: str
    which: str
    options: Options | None = None

    @property
    def waits(self) -> bool:
        """Whether it calls a server and may wait for it."""
        return isinstance(self.options, VlmOptions)

    @property
    def external(self) -> bool:
        """Whether images are sent to a third party."""
        return isinstance(self.options, VlmOptions) and self.options.external

    @property
    def price_usd(self) -> float | None:
        """Of one call in US dollars; None if unknown."""
        if not isinstance(self.options, VlmOptions):
            return 0.0
        return None if self.options.price_usd < 0 else self.options.price_usd


def parse(text: str) -> CaptionerSpec:
    """The specification that the text stands for. Raises ConfigurationError."""
    head, _, query = text.partition("?")
    kind, colon, which = head.partition(":")
    if kind not in KINDS:
        raise ConfigurationError(f"There is no captioner {kind!r}; there are {', '.join(KINDS)}.")
    if kind == "fake":
        return CaptionerSpec(text, kind, which)
    if not which and (colon or kind not in SHIPPED):
        raise ConfigurationError(f"{text!r} does not say which {kind}: expected {kind}:WHICH.")
    return CaptionerSpec(text, kind, which or SHIPPED[kind], _options(text, kind, query))


def offered(default: str, others: Mapping[str, str]) -> dict[str, CaptionerSpec]:
    """The captioners of an installation by name. The first is the default; its name is its kind.

    Raises ConfigurationError.
    """
    return offer.offered("a captioner", parse, default, others)


def _options(text: str, kind: str, query: str) -> Options | None:
    given = dict(parse_qsl(query, keep_blank_values=True))
    options = _OPTIONS[kind]
    known = {} if options is None else {each.name: each for each in fields(options)}
    for name in given.keys() - known.keys():
        raise ConfigurationError(f"{text!r}: {kind} has no option {name!r}; it has {', '.join(known) or 'none'}.")
    for name, each in known.items():
        if each.default is MISSING and name not in given:
            raise ConfigurationError(f"{text!r}: {kind} needs {name}, as in {kind}:WHICH?{name}=….")
    return None if options is None else read_options(options, given, repr(text))
