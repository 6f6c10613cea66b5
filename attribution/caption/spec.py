"""What a captioner is, as text: KIND, KIND:WHICH, or KIND:WHICH?option=value&option=value.

Light, so that the API can say what it offers; `attribution.build` makes captioners of these. A kind by itself, or with
options alone, stands for the small model that ships with the project.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from attribution import offer
from attribution.errors import ConfigurationError

# Where the small models lie, by the kinds that have one.
SHIPPED: Mapping[str, str] = {
    "blip": "zoo/models/captioner",
    "pez": "local-dir:zoo/models/clip",
    "blip+pez": "zoo/models/captioner",
}
LONGEST_TIMEOUT = 240.0  # a stage of a job has five minutes


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """How a vision-language model is asked.

    `key` names the key, none if empty; `timeout` is seconds for all attempts together; `prompt` is what it is told,
    where {words} stands for `words`, and `prompt_file` holds it instead; `external`: images leave the house;
    `price_usd` is of one call.
    """

    base_url: str
    key: str = "vlm"
    timeout: float = 60.0
    attempts: int = 3
    prompt: str = (
        "Describe this image in one sentence, as a prompt from which an image generator could generate it again. "
        "Name the subject and its attributes, the composition, the background and the style. "
        "Use {words} words at most, and write nothing but the description."
    )
    prompt_file: str = ""
    words: int = 50
    temperature: str = "0"
    max_tokens: int = 0
    external: bool = True
    price_usd: float = -1.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", self.base_url):
            raise ValueError("base_url must be an http:// or https:// address, such as https://api.openai.com/v1")
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ValueError(f"timeout must be above 0 and at most {LONGEST_TIMEOUT:g} seconds")
        if self.attempts < 1 or self.words < 1 or self.max_tokens < 0:
            raise ValueError("attempts and words must be at least 1, max_tokens at least 0")
        if self.temperature and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", self.temperature):
            raise ValueError("temperature must be a number, or empty where the model takes none")
        if self.key and not re.fullmatch(r"[a-z0-9_]+", self.key):
            raise ValueError("key must be the name of a key, in small letters, digits and _, and not the key itself")


@dataclass(frozen=True, slots=True)
class PezOptions:
    """A search for hard prompts: `tokens` words, `steps` steps, and `seconds` at most.

    `rate` and `decay` are AdamW's; `seed` picks the first words.
    """

    steps: int = 300
    tokens: int = 8
    seconds: float = 30.0
    seed: int = 0
    rate: float = 0.1
    decay: float = 0.1

    def __post_init__(self) -> None:
        if not (1 <= self.steps <= 100_000 and 1 <= self.tokens <= 1_000 and 0 <= self.seed < 2**32):
            raise ValueError("steps and tokens must be at least 1, and seed below 2**32")
        if not (0 < self.seconds <= LONGEST_TIMEOUT and 0 < self.rate <= 10 and 0 <= self.decay <= 1):
            raise ValueError(f"seconds must be in 0…{LONGEST_TIMEOUT:g}, rate in 0…10 and decay in 0…1")


@dataclass(frozen=True, slots=True)
class RefineOptions(PezOptions):
    """The same search, begun at another captioner's words, and by small steps that change few of them.

    `clip` is an open_clip name, as embedders have it; there are as many words as in the caption.
    """

    steps: int = 60
    rate: float = 0.001
    decay: float = 0.0
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
    """A specification that was read: `which` is a directory, a hub id or whatever the kind asks for."""

    text: str
    kind: str
    which: str
    options: Options | None = None

    @property
    def waits(self) -> bool:
        """Whether somebody else is asked, who may take their time."""
        return isinstance(self.options, VlmOptions)

    @property
    def external(self) -> bool:
        """Whether images leave the house."""
        return isinstance(self.options, VlmOptions) and self.options.external

    @property
    def price_usd(self) -> float | None:
        """Of one call; None where nobody told us."""
        if not isinstance(self.options, VlmOptions):
            return 0.0
        return None if self.options.price_usd < 0 else self.options.price_usd


def parse(text: str) -> CaptionerSpec:
    """Raises ConfigurationError where the text is none."""
    head, _, query = text.partition("?")
    kind, colon, which = head.partition(":")
    if kind not in KINDS:
        raise ConfigurationError(f"There is no captioner {kind!r}; there are {', '.join(KINDS)}.")
    if kind == "fake":
        return CaptionerSpec(text, kind, which)
    if not which and (colon or kind not in SHIPPED):
        raise ConfigurationError(f"{text!r} does not say which {kind}: expected {kind}:WHICH.")
    return CaptionerSpec(text, kind, which or SHIPPED[kind], _options(text, kind, query))


def offered(usual: str, others: Mapping[str, str]) -> dict[str, CaptionerSpec]:
    """The captioners of an installation by the names that jobs give; the first, called by its kind, is the default.

    Raises ConfigurationError.
    """
    return offer.offered("a captioner", parse, usual, others)


def _options(text: str, kind: str, query: str) -> Options | None:
    given = dict(parse_qsl(query, keep_blank_values=True))
    made = _OPTIONS[kind]
    known = {} if made is None else {each.name: each for each in fields(made)}
    for name in given.keys() - known.keys():
        raise ConfigurationError(f"{text!r}: {kind} knows no option {name!r}; it knows {', '.join(known) or 'none'}.")
    if made is None:
        return None
    for name, each in known.items():
        if each.default is MISSING and name not in given:
            raise ConfigurationError(f"{text!r}: {kind} needs {name}, as in {kind}:WHICH?{name}=….")
    try:
        return made(**{name: _as(known[name].type, value) for name, value in given.items()})
    except ValueError as error:
        raise ConfigurationError(f"{text!r}: {error}") from None


def _as(kind: Any, value: str) -> Any:
    if kind is bool:
        if value not in ("true", "false"):
            raise ValueError(f"{value!r} must be true or false")
        return value == "true"
    return kind(value)
