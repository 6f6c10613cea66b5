"""One candidate generator, as its file describes it: what it is, who serves it, and what asking it means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from attribution.ports import SourceState

Parameter: TypeAlias = str | int | float | bool

DEFAULT_TIMEOUT_SECONDS = 120.0
LOCAL = "local"  # the platform of what this installation generates itself
NO_ADAPTER = "none"  # of what no program can ask


class LifecycleState(StrEnum):
    """Whether the thing a source names can still be asked to draw."""

    LIVE = "live"
    DEPRECATED = "deprecated"
    RETIRED = "retired"
    NO_API = "no_api"


class SeedSupport(StrEnum):
    """What a seed is worth. An `unconfirmed` one is taken, but nobody promises the same generated image for it."""

    YES = "yes"
    UNCONFIRMED = "unconfirmed"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A source's state in the world, the day it ends or ended, a sentence, and the id of what came after it."""

    state: LifecycleState = LifecycleState.LIVE
    until: date | None = None
    since: date | None = None
    note: str | None = None
    successor: str | None = None

    @property
    def dead(self) -> bool:
        """Whether nothing can ever ask it again; a deprecated source still can be, until its day."""
        return self.state in (LifecycleState.RETIRED, LifecycleState.NO_API)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take, and how many there may be, counted over all workers. None: no limit of ours."""

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    max_prompt_chars: int | None = None
    concurrency: int | None = None
    per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One candidate generator.

    `price_usd` is of one generated image, None where nobody told us; `external`: prompts leave the house; `images_per_source`: the
    γ to ask it for; `sizes`: what it can be asked for, as "1024x1024", "1:1" or "any". `on_request`: not enabled, but
    jobs that name it ask it.
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
    file: Path = Path()

    @property
    def is_local(self) -> bool:
        """Whether it runs in this installation."""
        return self.platform == LOCAL

    @property
    def directory(self) -> Path | None:
        """Where the weights lie when `model` is a directory; None for a hub id or a vendor's name."""
        if self.platform != LOCAL or self.adapter in ("fake", NO_ADAPTER):
            return None
        candidate = self.root / self.model
        return candidate if self.revision.startswith("sha256:") or candidate.is_dir() else None

    @property
    def nameable(self) -> bool:
        """Whether a job that names it asks it."""
        return self.enabled or self.on_request

    def obstacle(self, today: date) -> tuple[SourceState, str] | None:
        """The state and the sentence that say why no program can ask this source today; None when one can."""
        life = self.lifecycle
        if life.state is LifecycleState.NO_API:
            return SourceState.NO_API, self._sentence(f"{self.name} cannot be called by a program.")
        over = life.since if life.state is LifecycleState.RETIRED else None
        if life.state is LifecycleState.DEPRECATED and life.until is not None and life.until < today:
            over = life.until
        if over is None:
            return None
        return SourceState.RETIRED, self._sentence(f"{self.name} was switched off on {over.isoformat()}.")

    def warning(self, today: date) -> str | None:
        """The sentence of a source that will go away: its day, and what there will be instead."""
        life = self.lifecycle
        if life.state is not LifecycleState.DEPRECATED or life.until is None or life.until < today:
            return None
        return self._sentence(f"{self.name} is to be switched off on {life.until.isoformat()}.")

    def _sentence(self, plain: str) -> str:
        life = self.lifecycle
        told = plain if life.note is None else life.note
        if life.state is LifecycleState.DEPRECATED and life.note is not None:
            told = f"{plain} {life.note}"  # its day counts most, and the note cannot know whether it has come
        return told if life.successor is None else f"{told} In its place there is {life.successor}."
