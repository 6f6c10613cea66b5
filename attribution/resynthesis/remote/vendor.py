"""What differs between vendors. A vendor's module says it in data and a few lines; `engine.py` does the rest.

Subclass `Vendor`, name the class in the module's `VENDOR`, put the module into `vendors/`: its name is the adapter's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from attribution.errors import ConfigurationError, KeyRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import BEARER, Scheme
from attribution.resynthesis.remote.response_fields import text
from attribution.resynthesis.remote.web import HttpResponse, Request

Option: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One generated image, as the engine orders it: prompt cut to the limit, seed within the vendor's range or None."""

    prompt: str = field(repr=False)
    seed: int | None = None
    safety_identifier: str | None = None


@dataclass(frozen=True, slots=True)
class VendorImage:
    """One image of an answer: its bytes, its address (fetched without a key), or the call that gets it (with one).

    `seed` and `prompt` are what the vendor says it generated with, None where it does not say.
    """

    image: bytes | str | Request = field(repr=False)
    seed: int | None = None
    prompt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StillGenerating:
    """Not done: ask for `task` after some seconds (None: as `PollSchedule` says). A new task takes the old one's place."""

    task: str
    after: float | None = None


Reply: TypeAlias = StillGenerating | Sequence[VendorImage]


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """Seconds between polls: the first pause, by what each is longer than the one before, and the longest."""

    first: float = 0.5
    growth: float = 1.5
    longest: float = 2.0


def taking(**kinds: type) -> Mapping[str, type]:
    """A vendor's options and what each must be."""
    return kinds


def meaning(meanings: Mapping[type[SourceError], Sequence[str]]) -> Mapping[str, type[SourceError]]:
    """A vendor's words, by what they mean."""
    return {word: kind for kind, words in meanings.items() for word in words}


class Vendor(ABC):
    """One vendor's contract, for one model with its options. The methods are pure: they build requests, read answers.

    Whatever an answer means is said by returning images, `StillGenerating`, or by raising a SourceError.
    """

    name: ClassVar[str]  # as sentences have it
    base_url: str | None = None  # None: parameters.base_url is needed
    # Where, over https, the key may follow an address that the vendor handed us; with everything below these names.
    hosts: ClassVar[tuple[str, ...]] = ()
    scheme: Scheme = BEARER
    # The key's name in the settings; None: asked without one, unless parameters.key names one.
    key: ClassVar[str | None] = None
    key_holds: ClassVar[str | None] = None  # what the key is, where that is not plain
    # What [parameters] may hold, beside `key` and `base_url`.
    options: ClassVar[Mapping[str, type]] = {}
    max_prompt: ClassVar[int | None] = None  # characters; the catalog may say less
    max_seed: ClassVar[int | None] = None  # the largest there is; None: takes no seed; see `seed_limit`
    polling: ClassVar[PollSchedule] = PollSchedule()
    # Where an error's words are, and what they mean. All words are tried, the first that means something counts.
    words_at: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[Mapping[str, type[SourceError]]] = {}
    message_at: ClassVar[tuple[str, ...]] = ()
    # Seconds to wait after a 429 that does not say.
    pause_after_limit: ClassVar[float | None] = None

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        self.model = model
        self.given: dict[str, Option] = dict(options or {})
        for name, value in self.given.items():
            if name not in self.options:
                known = ", ".join(["base_url", "key", *self.options])
                raise ConfigurationError(f"{self.name} has no parameter {name!r}; there are {known}.")
            wanted = self.options[name]
            if wanted is float and type(value) is int:
                self.given[name] = float(value)
            elif type(value) is not wanted:
                raise ConfigurationError(f"{self.name}: parameter {name!r} must be a {wanted.__name__}, not {value!r}.")

    @property
    def seed_limit(self) -> int | None:
        """The largest seed that this model takes, where models differ."""
        return self.max_seed

    @abstractmethod
    def order(self, wish: ImageRequest) -> Request:
        """The request that orders one generated image."""

    @abstractmethod
    def read(self, answer: HttpResponse) -> Reply:
        """What a successful answer to an order means. No images at all counts as a refused output."""

    def ask(self, task: str) -> Request:
        """The poll for a task; tasks are addresses where a vendor hands out such."""
        return Request.get(task)

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """What a successful answer to a poll for `task` means."""
        return self.read(answer)

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """What an answer of another status than success means, where `words` say so; None leaves it to the status."""
        kind = self.meaning_of(answer.document_or_none())
        return None if kind is None or issubclass(kind, KeyRefused) else kind(self.sentence(kind))

    def meaning_of(self, document: Any) -> type[SourceError] | None:
        """What an answer's words mean; of a key that is not accepted, `failure.py` knows where it came from."""
        for path in self.words_at:
            kind = self.words.get(text(document, path) or "")
            if kind is not None:
                return kind
        return None

    def sentence(self, kind: type[SourceError]) -> str:
        """Why there is no generated image, for a state that needs no more words."""
        if issubclass(kind, PromptRefused):
            return f"{self.name} will not generate this caption."
        return {
            "refused_output": f"{self.name} generated, and then withheld the image.",
            "quota": f"The operator's account with {self.name} is used up.",
            "rate_limited": f"{self.name} asks for fewer requests.",
        }.get(kind.state.value, f"{self.name} answered with an error.")
