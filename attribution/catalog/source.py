"""One candidate source, as its file describes it: a generator, who serves it, its limits, price and lifecycle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from attribution.ports import SourceState

Parameter: TypeAlias = str | int | float | bool

DEFAULT_TIMEOUT_SECONDS = 120.0
LOCAL = "local"  # the platform of sources that run in this installation
NO_ADAPTER = "none"  # the adapter of sources that no program can use


class LifecycleState(StrEnum):
    """Whether a source can still be used to generate."""

    LIVE = "live"
    DEPRECATED = "deprecated"
    RETIRED = "retired"
    NO_API = "no_api"


class SeedSupport(StrEnum):
    """Whether the same seed gives the same image. With `unconfirmed` it is accepted, but nothing is documented."""

    YES = "yes"
    UNCONFIRMED = "unconfirmed"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A source's state: `until` or `since` which day, a sentence for users, and the id of its successor."""

    state: LifecycleState = LifecycleState.LIVE
    until: date | None = None
    since: date | None = None
    note: str | None = None
    successor: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one call, and of calls at once and per minute over all workers. None: unlimited.

    `fewest_images`: what a job asks for at least, of a source that bills or generates several at once.
    """

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    max_prompt_chars: int | None = None
    concurrency: int | None = None
    per_minute: float | None = None
    fewest_images: int = 1


@dataclass(frozen=True, slots=True)
class Source:
    """One candidate source.

    `price_usd` is per generated image, None if unknown; `external`: prompts are sent to a third party; `batch`: how
    many images are generated at once, None if that is to be measured; `memory_mb_per_image`: what each of them needs
    besides the model; `images_per_source`: the recommended γ; `sizes`: what it can generate, as "1024x1024", "1:1" or
    "any"; `on_request`: not enabled, but jobs that name it use it.
    """

    schema: int
    id: str
    name: str
    enabled: bool
    family: str
    platform: str
    model: str
    revision: str
    license: str
    memory_mb: int
    adapter: str
    lifecycle: Lifecycle = Lifecycle()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    limits: Limits = Limits()
    price_usd: float | None = None
    root: Path = Path()
    external: bool = False
    seed: SeedSupport = SeedSupport.YES
    sizes: tuple[str, ...] = ()
    images_per_source: int | None = None
    terms: str | None = None
    on_request: bool = False
    batch: int | None = None
    memory_mb_per_image: int | None = None
    file: Path = Path()

    @property
    def is_local(self) -> bool:
        """Whether it runs in this installation."""
        return self.platform == LOCAL

    @property
    def directory(self) -> Path | None:
        """The directory of the weights if `model` is one; None for a hub id or a vendor's model."""
        if not self.is_local or self.adapter in ("fake", NO_ADAPTER):
            return None
        candidate = self.root / self.model
        return candidate if self.revision.startswith("sha256:") or candidate.is_dir() else None

    @property
    def is_usable(self) -> bool:
        """Whether a job that names it uses it."""
        return self.enabled or self.on_request

    def obstacle(self, today: date) -> tuple[SourceState, str] | None:
        """The state and the sentence why this source cannot be used today; None if it can."""
        life = self.lifecycle
        if life.state is LifecycleState.NO_API:
            return SourceState.NO_API, self._sentence(f"{self.name} cannot be called by a program.")
        ended = life.since if life.state is LifecycleState.RETIRED else None
        if life.state is LifecycleState.DEPRECATED and life.until is not None and life.until < today:
            ended = life.until
        if ended is None:
            return None
        return SourceState.RETIRED, self._sentence(f"{self.name} was switched off on {ended.isoformat()}.")

    def warning(self, today: date) -> str | None:
        """The sentence for a source that will be switched off: the day, and its successor."""
        life = self.lifecycle
        if life.state is not LifecycleState.DEPRECATED or life.until is None or life.until < today:
            return None
        return self._sentence(f"{self.name} will be switched off on {life.until.isoformat()}.")

    def _sentence(self, plain: str) -> str:
        life = self.lifecycle
        sentence = plain if life.note is None else life.note
        if life.state is LifecycleState.DEPRECATED and life.note is not None:
            sentence = f"{plain} {life.note}"  # the day is important, and the note does not know whether it has passed
        return sentence if life.successor is None else f"{sentence} Its successor is {life.successor}."
