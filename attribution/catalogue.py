"""Reads `sources/*.toml` into the catalogue of candidate sources. Data only: no adapter, no torch.

The API lists sources with it and the workers hand its entries to `build.py`. Files are read in the order of
their names, and that order decides ties. Every mistake in a file is a ConfigurationError that names the file
and the key.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from attribution.errors import ConfigurationError, UnknownSource
from attribution.ports import SourceState
from attribution.toml import Table

Parameter: TypeAlias = str | int | float | bool

DEFAULT_TIMEOUT_SECONDS = 120.0


class LifecycleState(StrEnum):
    """Whether the thing a source names can still be asked to draw."""

    LIVE = "live"
    DEPRECATED = "deprecated"
    RETIRED = "retired"
    NO_API = "no_api"


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A source's state in the world, with the day it ends or ended, and a note."""

    state: LifecycleState = LifecycleState.LIVE
    until: date | None = None
    since: date | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call of the source may take."""

    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    max_prompt_chars: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One candidate generator, as its file describes it."""

    schema: int
    id: str
    name: str
    enabled: bool
    family: str
    platform: str
    model: str
    revision: str
    licence: str
    memory_mb: int
    adapter: str
    lifecycle: Lifecycle = Lifecycle()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    limits: Limits = Limits()
    price_usd: float | None = None
    root: Path = Path()

    @property
    def directory(self) -> Path | None:
        """Where the weights lie when `model` is a directory; None for a hub id or a vendor's name."""
        candidate = self.root / self.model
        local = self.revision.startswith("sha256:") or candidate.is_dir()
        return candidate if self.adapter != "fake" and local else None

    def obstacle(self, today: date) -> tuple[SourceState, str] | None:
        """The state and the sentence that say why no program can ask this source today; None when one can."""
        life = self.lifecycle
        if life.state is LifecycleState.NO_API:
            return SourceState.NO_API, life.note or f"{self.name} cannot be called by a program."
        over = life.since if life.state is LifecycleState.RETIRED else None
        if life.state is LifecycleState.DEPRECATED and life.until is not None and life.until < today:
            over = life.until
        if over is None:
            return None
        return SourceState.RETIRED, life.note or f"{self.name} was switched off on {over.isoformat()}."


class Catalogue:
    """The sources this installation knows, in catalogue order."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources: tuple[Source, ...] = tuple(sources)
        self._by_id = {source.id: source for source in self.sources}

    def get(self, source_id: str) -> Source:
        """The source of that id. Raises UnknownSource."""
        if source_id not in self._by_id:
            raise UnknownSource([source_id])
        return self._by_id[source_id]

    def select(
        self, include: Sequence[str] | None, exclude: Sequence[str], besides: Collection[str] = ()
    ) -> tuple[Source, ...]:
        """The enabled sources, or exactly those asked for, less the excluded; always in catalogue order.

        `besides` are there whatever is enabled or asked for: references of them are. Naming a disabled source
        includes it: the operator's machine then says why it cannot be tested.
        Raises UnknownSource with every id that is not in the catalogue.
        """
        unknown = [name for name in (*(include or ()), *exclude, *besides) if name not in self._by_id]
        if unknown:
            raise UnknownSource(unknown)
        return tuple(
            source
            for source in self.sources
            if source.id in besides
            or ((source.enabled if include is None else source.id in include) and source.id not in exclude)
        )


def load_catalogue(directories: Sequence[Path]) -> Catalogue:
    """Read every `*.toml` of the directories, in the order given and by file name within each."""
    sources: list[Source] = []
    for directory in directories:
        if not directory.is_dir():
            raise ConfigurationError(f"The catalogue directory {directory} does not exist.")
        sources.extend(_read(path) for path in sorted(directory.glob("*.toml")))
    seen: set[str] = set()
    for source in sources:
        if source.id in seen:
            raise ConfigurationError(f"Two catalogue files describe the source {source.id!r}.")
        seen.add(source.id)
    return Catalogue(sources)


def _read(path: Path) -> Source:
    table = Table.read(path)
    if table.take("schema", int) != 1:
        raise table.error("schema", "must be 1, the only one this version reads")
    source = Source(
        schema=1,
        id=table.slug("id"),
        name=table.take("name", str),
        enabled=table.take("enabled", bool),
        family=table.take("family", str),
        platform=table.take("platform", str),
        model=table.take("model", str),
        revision=table.take("revision", str),
        licence=table.take("licence", str),
        memory_mb=table.positive("memory_mb", int),
        adapter=table.take("adapter", str),
        lifecycle=_lifecycle(table.table("lifecycle")),
        parameters=table.table("parameters").scalars(),
        limits=_limits(table.table("limits")),
        price_usd=table.price("price_usd"),
        root=path.resolve().parent.parent,
    )
    table.done()
    return source


def _lifecycle(table: Table) -> Lifecycle:
    state = table.choice("state", LifecycleState, LifecycleState.LIVE)
    life = Lifecycle(state, table.optional("until", date), table.optional("since", date), table.optional("note", str))
    if state is LifecycleState.DEPRECATED and life.until is None:
        raise table.error("until", "is needed: the day on which a deprecated source goes away")
    if state is LifecycleState.RETIRED and life.since is None:
        raise table.error("since", "is needed: the day on which a retired source went away")
    table.done()
    return life


def _limits(table: Table) -> Limits:
    seconds = table.positive("timeout_seconds", float, DEFAULT_TIMEOUT_SECONDS)
    limits = Limits(seconds, table.positive("max_prompt_chars", int, None))
    table.done()
    return limits
