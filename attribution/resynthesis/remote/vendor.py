"""What differs between vendors: each subclasses `Vendor` with data and a few methods; `engine.py` does the rest.

A module in `vendors/` defines one subclass; the module's name is the adapter's name.
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
    """A request for one image: the prompt cut to the limit, the seed within the vendor's range, None for no seed."""

    prompt: str = field(repr=False)
    seed: int | None = None
    safety_identifier: str | None = None


@dataclass(frozen=True, slots=True)
class VendorImage:
    """One image of a response: its bytes, its address (fetched without a key), or a request (sent with the key).

    `seed` and `prompt` are those that the vendor reports, None if it reports none.
    """

    image: bytes | str | Request = field(repr=False)
    seed: int | None = None
    prompt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class StillGenerating:
    """Not ready: poll `task` after some seconds, None for the `PollSchedule`. A new task replaces the old one."""

    task: str
    after: float | None = None


Reply: TypeAlias = StillGenerating | Sequence[VendorImage]


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """Seconds between polls: the first pause, the factor by which each pause grows, and the longest pause."""

    first: float = 0.5
    growth: float = 1.5
    longest: float = 2.0


def option_types(**kinds: type) -> Mapping[str, type]:
    """The types of a vendor's options, by name."""
    return kinds


def errors_by_code(codes: Mapping[type[SourceError], Sequence[str]]) -> Mapping[str, type[SourceError]]:
    """The error of each of a vendor's error codes, from the codes of each error."""
    return {code: kind for kind, each in codes.items() for code in each}


class Vendor(ABC):
    """One vendor's contract, for one model with its options. The methods only build requests and read responses.

    A response is read as images, as `StillGenerating`, or by raising a SourceError.
    """

    name: ClassVar[str]  # in sentences
    base_url: str | None = None  # None: parameters.base_url is required
    # Hosts, with their subdomains, to which the key may be sent over https if a response names an address there.
    hosts: ClassVar[tuple[str, ...]] = ()
    scheme: Scheme = BEARER
    # The key's name in the settings; None: no key is sent, unless parameters.key names one.
    key: ClassVar[str | None] = None
    key_format: ClassVar[str | None] = None  # the format of the key, if it is more than one token
    # The keys of [parameters], besides `key` and `base_url`.
    options: ClassVar[Mapping[str, type]] = {}
    max_prompt: ClassVar[int | None] = None  # characters; the catalog may set a lower limit
    max_seed: ClassVar[int | None] = None  # None: takes no seed; see `seed_limit`
    polling: ClassVar[PollSchedule] = PollSchedule()
    # The paths of error codes in a response, and their errors. The first path with a known code counts.
    error_code_paths: ClassVar[tuple[str, ...]] = ()
    error_codes: ClassVar[Mapping[str, type[SourceError]]] = {}
    message_paths: ClassVar[tuple[str, ...]] = ()
    # Seconds to wait after a 429 that states no time.
    default_retry_after: ClassVar[float | None] = None

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        self.model = model
        self.parameters: dict[str, Option] = dict(options or {})
        for name, value in self.parameters.items():
            if name not in self.options:
                known = ", ".join(["base_url", "key", *self.options])
                raise ConfigurationError(f"{self.name} has no parameter {name!r}; there are {known}.")
            wanted = self.options[name]
            if wanted is float and type(value) is int:
                self.parameters[name] = float(value)
            elif type(value) is not wanted:
                raise ConfigurationError(f"{self.name}: parameter {name!r} must be a {wanted.__name__}, not {value!r}.")

    @property
    def seed_limit(self) -> int | None:
        """The largest seed that this model takes; overridden where models differ."""
        return self.max_seed

    @abstractmethod
    def submit_request(self, image_request: ImageRequest) -> Request:
        """The request that submits one image."""

    @abstractmethod
    def parse_response(self, response: HttpResponse) -> Reply:
        """Read a successful response to a submission. No images at all counts as a refused output."""

    def poll_request(self, task: str) -> Request:
        """The poll for a task; by default the task is an address."""
        return Request.get(task)

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """Read a successful response to a poll for `task`."""
        return self.parse_response(response)

    def failure(self, response: HttpResponse) -> SourceError | None:
        """The error of an unsuccessful response by `error_codes`; None if the HTTP status decides."""
        kind = self.error_class(response.document_or_none())
        return None if kind is None or issubclass(kind, KeyRefused) else kind(self.sentence(kind))

    def error_class(self, document: Any) -> type[SourceError] | None:
        """The error of the first known error code in a response, None if there is none."""
        for path in self.error_code_paths:
            kind = self.error_codes.get(text(document, path) or "")
            if kind is not None:
                return kind
        return None

    def sentence(self, kind: type[SourceError]) -> str:
        """The default sentence of an error."""
        if issubclass(kind, PromptRefused):
            return f"{self.name} will not generate this caption."
        return {
            "refused_output": f"{self.name} generated the image and then withheld it.",
            "quota": f"The operator's account with {self.name} is used up.",
            "rate_limited": f"{self.name} asks for fewer requests.",
        }.get(kind.state.value, f"{self.name} responded with an error.")
